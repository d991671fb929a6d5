"""Renames: of several deletions of one content, as many as there are new copies of it."""

from __future__ import annotations

import pytest

from registry import changelog, tenants
from registry.database import Registry
from tests.support.appending import START, Log, gone, put
from tests.support.world import World, empty_world, migrated_home, published, text_about, world

__all__ = ["empty_world", "migrated_home", "published", "world"]


@pytest.fixture
def log(registry: Registry) -> Log:
    return Log(registry)


def moved(log: Log, seq: int = 2) -> set[str]:
    return {key for s, op, key, was_moved in log.changes() if s == seq and op == "delete" and was_moved}


@pytest.mark.parametrize(("copies", "expected"), [(0, 0), (1, 1), (2, 2), (3, 3), (5, 3)])
def test_as_many_deletions_are_renames_as_there_are_copies(log: Log, copies: int, expected: int) -> None:
    log.append([put(key, "same") for key in "abc"] + [put("z", "other")], snapshot=True)
    log.append([gone(key) for key in "abcz"] + [put(f"n{n}", "same") for n in range(copies)])
    assert len(moved(log)) == expected
    assert "z" not in moved(log)


def test_contents_are_counted_apart(log: Log) -> None:
    log.append([put("a1", "A"), put("a2", "A"), put("b1", "B"), put("b2", "B")], snapshot=True)
    log.append(
        [gone(key) for key in ("a1", "a2", "b1", "b2")] + [put("x", "A"), put("y", "B"), put("z", "B")]
    )
    assert moved(log) == {"a1", "b1", "b2"}


def test_a_key_that_had_the_content_before_is_no_new_copy(log: Log) -> None:
    log.append([put("a", "same"), put("b", "same"), put("c", "other")], snapshot=True)
    log.append([gone("a"), put("b", "same", title="another title")])
    assert moved(log) == set()
    log.append([gone("b"), put("c", "same")])
    assert moved(log, 3) == {"b"}, "a key that says something else now is one"


def test_a_key_that_had_the_content_once_is_a_new_copy(log: Log) -> None:
    log.append([put("a", "same"), put("b", "same")], snapshot=True)
    log.append([gone("b")])
    log.append([gone("a"), put("b", "same")])
    assert moved(log, 3) == {"a"}


def test_copies_of_another_tenant_are_nobody_s_rename(registry: Registry) -> None:
    shared = Log(registry, shared=True)
    with registry.write() as session:
        tenants.create(session, "other", START)
    shared.append([put("a", "same", tenant="acme"), put("b", "same", tenant="acme")], snapshot=True)
    shared.append([gone("a"), gone("b"), put("c", "same", tenant="other"), put("d", "same", tenant="acme")])
    assert moved(shared) == {"a"}


def test_many_at_once_in_more_than_one_batch(log: Log) -> None:
    log.append([put(f"k{n}", f"text {n % 700}") for n in range(1400)], snapshot=True)
    log.append([gone(f"k{n}") for n in range(1400)] + [put(f"n{n}", f"text {n}") for n in range(700)])
    assert len(moved(log)) == 700


def hidden(world: World) -> set[str]:
    live = world.live()
    assert live is not None
    with world.reading() as session:
        from registry import generations

        pins = {s: pin.seq for s, pin in generations.pins(session, world.tenant, live.number).items()}
        return {found.key for found in changelog.hidden_documents(session, world.tenant, pins)}


def test_of_two_identical_documents_and_one_new_copy_one_is_deleted_now(published: World) -> None:
    published.commit({"one": text_about("volcano"), "two": text_about("volcano")})
    published.run()
    published.commit({"three": text_about("volcano")}, deletes=["one", "two"])
    published.capture()
    assert len(hidden(published)) == 1
    published.commit(deletes=["three"])
    published.capture()
    assert hidden(published) == {"one", "two", "three"}
    assert not {"one", "two"} & set(published.found("volcano file"))


def test_of_two_renames_that_lost_one_copy_one_is_gone(published: World) -> None:
    published.commit({"one": text_about("volcano"), "two": text_about("volcano")})
    published.run()
    published.commit({"three": text_about("volcano"), "four": text_about("volcano")}, deletes=["one", "two"])
    published.capture()
    assert hidden(published) == set()
    published.commit(deletes=["four"])
    published.capture()
    assert len(hidden(published) - {"four"}) == 1
    assert len({"one", "two"} & set(published.found("volcano file"))) == 1


def test_the_alert_of_a_mass_deletion_counts_no_renames(published: World) -> None:
    renamed = {f"new{n}": text_about(topic) for n, topic in ((0, "harbour"), (1, "glacier"), (2, "violin"))}
    published.commit(renamed, deletes=["d0", "d1", "d2", "d6", "d7", "d8", "d9"])
    (captured,) = published.capture()
    assert len(captured.held) == 1
    (alert,) = published.alerts("mass_deletion_held")
    assert "deletions of 4 of 10 documents" in alert.subject


def test_renames_alone_are_no_mass_deletion(published: World) -> None:
    with published.reading():
        texts = {f"d{n}": text_about(topic) for n, topic in enumerate(("harbour", "glacier", "violin"))}
    published.commit({f"new-{key}": text for key, text in texts.items()}, deletes=list(texts))
    (captured,) = published.capture()
    assert captured.held == []
    assert published.alerts("mass_deletion_held") == []


def test_copies_that_became_one_are_a_mass_deletion(published: World) -> None:
    published.commit({f"copy{n}": text_about("volcano") for n in range(10)})
    published.run()
    published.commit({"only": text_about("volcano")}, deletes=[f"copy{n}" for n in range(10)])
    (captured,) = published.capture()
    assert len(captured.held) == 1, "nine of ten copies went, however alike they were"
    (alert,) = published.alerts("mass_deletion_held")
    assert "deletions of 9 of 20 documents" in alert.subject
