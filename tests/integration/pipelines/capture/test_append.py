"""One commit into the change log, on every database that Holdfast runs on."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from pipelines.capture import append as appending
from registry import tenants
from registry.database import Registry
from registry.schema import Change, Content, SourceCommit
from tests.support.appending import START, Log, broken, gone, put


@pytest.fixture
def log(registry: Registry) -> Log:
    return Log(registry)


@pytest.fixture
def shared(registry: Registry) -> Log:
    return Log(registry, shared=True)


def test_a_commit_is_whole(log: Log) -> None:
    appended = log.append([put("a"), put("b")], snapshot=True)
    assert appended is not None
    assert (appended.seq, appended.upserts.total(), appended.deletes.total()) == (1, 2, 0)
    assert log.changes() == [(1, "upsert", "a", False), (1, "upsert", "b", False)]
    assert log.tenant_commits() == [(1, 1, "p1", 2, 0)]
    row = log.row()
    assert (row.position, row.epoch, row.last_seq, row.cursor_state) == ("p1", 1, 1, {"n": 1})


def test_a_position_is_appended_once_an_epoch(log: Log) -> None:
    log.append([put("a")], "one", snapshot=True)
    log.append([put("b")], "two")
    before = log.changes()
    assert log.append([put("c"), gone("a")], "two") is None
    assert log.changes() == before
    assert log.heads() == {"a", "b"}
    assert log.row().cursor_state == {"n": 3}, "the cursor may still learn something"
    again = log.append([put("a")], "two", snapshot=True)
    assert again is not None, "after the history was rewritten the same position is another state"
    assert log.row().epoch == 2
    assert log.heads() == {"a"}


def test_changes_that_change_nothing_are_dropped(log: Log) -> None:
    log.append([put("a"), put("b")], snapshot=True)
    appended = log.append([put("a"), put("b", "new"), gone("never was")])
    assert appended is not None
    assert (appended.upserts.total(), appended.deletes.total()) == (1, 0)
    assert log.changes()[2:] == [(2, "upsert", "b", False)]


def test_a_commit_that_changes_nothing_leaves_only_its_position(log: Log) -> None:
    log.append([put("a")], snapshot=True)
    appended = log.append([put("a")], "further")
    assert appended is not None
    assert log.tenant_commits() == [(1, 1, "p1", 1, 0)]
    assert (log.row().position, log.row().last_seq) == ("further", 1)


def test_everything_that_a_reader_sees_is_a_change(log: Log) -> None:
    log.append([put("a", "x")], snapshot=True)
    for number, changed in enumerate(
        [put("a", "x", title="T"), put("a", "x", uri="u"), put("a", "x", metadata={"k": 1}), put("a", "y")], 2
    ):
        appended = log.append([changed])
        assert appended is not None
        assert appended.seq == number


def test_a_snapshot_is_reconciled(log: Log) -> None:
    log.append([put("a"), put("b"), put("c")], snapshot=True)
    log.append([put("b", "b2"), put("c"), put("d")], "rewritten", snapshot=True)
    assert log.changes()[3:] == [
        (2, "upsert", "b", False), (2, "upsert", "d", False), (2, "delete", "a", False),
    ]  # fmt: skip
    assert log.tenant_commits()[-1] == (2, 2, "rewritten", 2, 1)


def test_an_empty_snapshot_deletes_what_was_known_and_is_a_commit(log: Log) -> None:
    log.append([], snapshot=True)
    assert log.tenant_commits() == [(1, 1, "p1", 0, 0)], "nothing is a state, too"
    log.append([put("a")])
    log.append([], snapshot=True)
    assert log.heads() == set()
    assert log.changes()[-1] == (3, "delete", "a", False)


def test_a_snapshot_larger_than_a_batch(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appending, "BATCH", 3)
    log.append([put(f"k{n}") for n in range(10)], snapshot=True)
    log.append([put(f"k{n}") for n in range(8, 12)], snapshot=True)
    assert log.heads() == {"k8", "k9", "k10", "k11"}
    assert log.tenant_commits()[-1][3:] == (2, 8)


def test_a_rename_is_told_from_a_deletion(log: Log) -> None:
    log.append([put("a", "same"), put("b", "other"), put("c", "third")], snapshot=True)
    log.append([gone("a"), put("a2", "same"), gone("b"), put("b2", "edited on the way"), gone("c")])
    moved = {key: moved for seq, op, key, moved in log.changes() if seq == 2 and op == "delete"}
    assert moved == {"a": True, "b": False, "c": False}


def test_a_rename_across_batches(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appending, "BATCH", 1)
    log.append([put("a", "same")], snapshot=True)
    log.append([gone("a"), put("x"), put("z", "same")])
    assert (2, "delete", "a", True) in log.changes()


def test_content_that_was_there_before_is_no_rename(log: Log) -> None:
    log.append([put("a", "same"), put("b", "same")], snapshot=True)
    log.append([gone("a")])
    assert log.changes()[-1] == (2, "delete", "a", False)


def test_two_unreadable_documents_are_no_rename(log: Log) -> None:
    log.append([broken("a")], snapshot=True)
    log.append([gone("a"), broken("b")])
    assert (2, "delete", "a", False) in log.changes()


def test_unreadable_is_a_version_and_no_deletion(log: Log) -> None:
    log.append([put("a")], snapshot=True)
    appended = log.append([broken("a")])
    assert appended is not None
    assert appended.unreadable == 1
    assert log.changes()[-1] == (2, "unreadable", "a", False)
    assert log.heads() == {"a"}
    assert log.append([broken("a")]) is not None
    assert len(log.changes()) == 2, "the same reason again is no change"
    log.append([put("a")])
    assert log.changes()[-1] == (3, "upsert", "a", False), "readable again, even with the bytes of before"


def test_content_is_kept_once_a_tenant(shared: Log) -> None:
    with shared.registry.write() as session:
        tenants.create(session, "beta", START)
    shared.append(
        [put("a", "same", "acme"), put("b", "same", "acme"), put("c", "same", "beta")], snapshot=True
    )
    assert shared.count(Content) == 2


def test_a_row_that_moves_between_tenants_is_deleted_from_the_one(shared: Log) -> None:
    with shared.registry.write() as session:
        beta = tenants.create(session, "beta", START).id
    shared.append([put("1", tenant="acme"), put("2", tenant="acme")], snapshot=True)
    shared.append([put("1", tenant="beta")])
    assert shared.changes()[2:] == [(2, "delete", "1", False), (2, "upsert", f"{beta}/1", False)]
    assert shared.heads() == {"2", f"{beta}/1"}
    assert shared.tenant_commits()[-1] == (2, 1, "p2", 0, 1)
    assert shared.tenant_commits(beta) == [(2, 1, "p2", 1, 0)]
    shared.append([gone("1")])
    assert shared.changes()[-1] == (3, "delete", f"{beta}/1", False), "a deletion need not name the tenant"


def test_rows_of_a_tenant_that_is_not_there_wait_and_are_claimed(shared: Log) -> None:
    shared.append([put("1", tenant="acme"), put("2", tenant="later")], snapshot=True)
    shared.append([put("2", "newer", "later"), put("3", tenant="later")])
    assert shared.heads() == {"1", "?later/2", "?later/3"}
    with shared.registry.write() as session:
        later = tenants.create(session, "later", START).id
    assert shared.heads() == {"1", f"{later}/2", f"{later}/3"}
    assert [commit[0] for commit in shared.tenant_commits(later)] == [1, 2]
    assert shared.append([put("2", "newer", "later")]) is not None
    assert len(shared.changes()) == 4, "the claimed rows are known: nothing is captured twice"


def test_rows_of_an_erased_tenant_are_dropped_and_counted(shared: Log) -> None:
    with shared.registry.write() as session:
        tenants.create(session, "beta", START)
    shared.append([put("1", tenant="acme"), put("2", tenant="beta")], snapshot=True)
    with shared.registry.write() as session:
        tenants.erase(session, tenants.find(session, "beta"))
    appended = shared.append(
        [put("2", "secret", "beta"), put("3", "secret", "beta"), put("1", tenant="beta")]
    )
    assert appended is not None
    assert appended.dropped == 3
    assert shared.row().dropped == 3
    assert shared.changes()[1:] == [(2, "delete", "1", False)], "what went to the erased one left this one"
    assert shared.count(Content) == 1, "not a byte of it is kept"


def test_a_commit_of_dropped_rows_alone_moves_the_position(shared: Log) -> None:
    with shared.registry.write() as session:
        tenants.create(session, "beta", START)
        tenants.erase(session, tenants.find(session, "beta"))
    shared.append([put("1", tenant="acme")], snapshot=True)
    shared.append([put("2", tenant="beta")], "further")
    assert (shared.row().position, shared.row().dropped, shared.count(SourceCommit)) == ("further", 1, 1)


def test_what_fails_half_way_leaves_nothing(log: Log) -> None:
    log.append([put("a")], snapshot=True)

    def changes():
        yield gone("a")
        yield put("b")
        raise OSError("the source went away")

    with pytest.raises(OSError, match="went away"):
        log.append(changes())  # type: ignore[arg-type]
    assert log.heads() == {"a"}
    assert log.count(Change) == log.count(Content) == log.count(SourceCommit) == 1
    assert log.row().position == "p1"


def test_a_key_that_goes_and_comes_back_differs_from_one_that_stayed(log: Log) -> None:
    log.append([put("a")], snapshot=True)
    log.append([gone("a")])
    log.append([put("a")])
    assert [op for _, op, _, _ in log.changes()] == ["upsert", "delete", "upsert"]
    with log.registry.read() as session:
        digests = set(session.scalars(select(Change.content_sha256)))
    assert len(digests) == 1
