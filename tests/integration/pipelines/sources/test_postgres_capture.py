"""A table of many tenants, captured into a registry: whose a row is, what is kept of it, what a kill leaves."""

from __future__ import annotations

from datetime import timedelta

import pytest
from prometheus_client import generate_latest
from sqlalchemy import select

from pipelines.capture.health import source_health
from pipelines.sources.postgres import postgres_source
from registry import slots, sources, tenants
from registry.clock import utc_now
from registry.database import Registry
from registry.schema import ReplicationSlot, Source, SourceRow
from retrieval.api.metrics import ApiMetrics
from tests.support.logical_postgres import Database
from tests.support.postgres_capture import CapturedTable

OPTIONS = {"table": "docs", "key": "id", "body": "body", "title": "title", "tenant_column": "tenant"}
SECTIONS = {"child_table": "parts", "child_parent": "page", "child_order": "id", "child_body": "text"}
LARGE = "(SELECT string_agg(md5((i * {seed})::text), '') FROM generate_series(1, 300) i)"


@pytest.fixture
def docs(database: Database) -> Database:
    """Three documents, of two tenants; two have large bodies."""
    database.execute(
        "CREATE TABLE docs (id int PRIMARY KEY, tenant text, title text, body text)",
        "CREATE TABLE parts (id int PRIMARY KEY, page int, text text)",
        f"INSERT INTO docs VALUES (1, 'acme', 'a', {LARGE.format(seed=1)}), (2, 'beta', 'b', {LARGE.format(seed=2)}), "
        "(3, 'acme', 'c', 'small')",
        "INSERT INTO parts VALUES (1, 1, 'section of one'), (2, 2, 'section of two')",
    )
    return database


@pytest.fixture
def shared(registry: Registry, docs: Database) -> CapturedTable:
    """Captured once, for the tenants acme and beta."""
    return captured_table(registry, docs)


def captured_table(registry: Registry, docs: Database, **more: str) -> CapturedTable:
    made = CapturedTable(registry, docs.url, {**OPTIONS, **more})
    for name in ("acme", "beta"):
        made.add_tenant(name)
    assert made.capture_whole().commits == 1
    return made


def in_table(docs: Database) -> dict[str, tuple[str, str]]:
    return {str(key): (tenant, body) for key, tenant, body in docs.query("SELECT id, tenant, body FROM docs")}


def test_one_slot_is_fanned_out_to_the_tenants_of_its_rows(shared, docs):
    docs.transaction(
        "UPDATE docs SET tenant = 'beta' WHERE id = 1", "UPDATE docs SET title = 'x' WHERE id = 2"
    )
    docs.execute(
        "UPDATE docs SET tenant = 'later', title = 'y' WHERE id = 3", "DELETE FROM docs WHERE id = 2"
    )
    assert shared.capture_whole().commits == 3
    assert shared.changes()[3:] == [
        (2, "acme", "delete", "1"), (2, "beta", "upsert", "1"), (2, "beta", "upsert", "2"),
        (3, "acme", "delete", "3"), (3, "?later", "upsert", "3"),
        (4, "beta", "delete", "2"),
    ]  # fmt: skip
    assert shared.documents() == {**in_table(docs), "3": ("?later", "small")}
    shared.add_tenant("later")
    docs.execute("UPDATE docs SET title = 'z' WHERE id = 3")
    shared.capture_whole()
    assert shared.documents() == in_table(docs)
    assert len(shared.rows()) == 2
    with shared.registry.read() as session:
        scopes = set(session.scalars(select(SourceRow.scope)))
        assert scopes == {tenants.find(session, name).id for name in ("beta", "later")}


def test_what_is_kept_moves_with_its_commit_or_not_at_all(shared, docs, monkeypatch):
    before = shared.rows()
    kept = {name: row.body for name, row in before.items()}
    docs.execute(
        f"UPDATE docs SET body = {LARGE.format(seed=3)} WHERE id = 1", "DELETE FROM docs WHERE id = 3"
    )
    failing = iter((False, True))

    def fail_at_the_second(*arguments):
        if next(failing):
            raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.capture.capturer.leases.renew", fail_at_the_second)
        with pytest.raises(OSError, match="disk is full"):
            shared.capture()
    assert len(shared.commits()) == 2
    after = {name: row.body for name, row in shared.rows().items()}
    assert after.keys() == kept.keys(), "the second commit left nothing"
    assert after[("page", "1")] != kept[("page", "1")], "the first is whole"
    assert shared.capture_whole().commits == 1
    assert shared.documents() == in_table(docs)


@pytest.mark.parametrize(
    "crash_point", ["capture:before-commit", "capture:after-commit", "capture:after-acknowledge"]
)
@pytest.mark.parametrize("first", [True, False])
def test_a_killed_capturer_loses_and_doubles_nothing(sqlite_url, docs, crash_point, first):
    registry = Registry(sqlite_url)
    table = CapturedTable(registry, docs.url, {**OPTIONS, **SECTIONS})
    for name in ("acme", "beta"):
        table.add_tenant(name)
    if not first:
        table.capture_whole()
        docs.transaction(
            "UPDATE docs SET title = 'x'",
            "UPDATE parts SET page = 2 WHERE page = 1",
            "DELETE FROM docs WHERE id = 3",
        )
        docs.execute("UPDATE docs SET tenant = 'beta' WHERE id = 1", "INSERT INTO parts VALUES (3, 1, 'new')")
    assert table.killed_at(crash_point)
    killed_with = table.commits()
    docs.execute("UPDATE docs SET title = 'later' WHERE id = 2")
    table.capture_whole()
    assert table.commits()[: len(killed_with)] == killed_with
    expected = {str(key): text for key, text in docs.query(
        "SELECT d.id, concat_ws(E'\\n\\n', d.body, (SELECT string_agg(text, E'\\n\\n' ORDER BY id) FROM parts "
        "WHERE page = d.id)) FROM docs d"
    )}  # fmt: skip
    assert {key: text for key, (_, text) in table.documents().items()} == expected
    undisturbed = 1 if first else 5
    assert len(table.commits()) == undisturbed + (
        0 if first and crash_point.endswith("before-commit") else 1 if first else 0
    )
    registry.close()


def test_a_foreign_fence_stops_a_capturer_before_it_acknowledges(shared, docs, monkeypatch):
    docs.execute("UPDATE docs SET title = 'x' WHERE id = 1")
    monkeypatch.setattr(postgres_source.PostgresSource, "acknowledge", lambda *_: pytest.fail("too early"))
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.capture.capturer.append_commit", failing)
        with pytest.raises(OSError, match="before it was registered"):
            shared.capture()


def failing(*_arguments):
    raise OSError("before it was registered")


# Erasure.


def test_of_an_erased_tenant_s_rows_nothing_is_kept_but_what_tells_them_apart(registry, docs):
    table = captured_table(registry, docs, **SECTIONS)
    table.erase_tenant("beta")
    assert {row.body is None for row in table.rows().values() if row.label == "beta"} == {True}
    assert ("page", "2") not in table.rows()
    docs.execute("UPDATE docs SET title = 'still there' WHERE id = 2")
    docs.execute(
        "UPDATE parts SET text = 'secret edit' WHERE id = 2", "INSERT INTO parts VALUES (3, 2, 'secret')"
    )
    docs.execute(
        "INSERT INTO docs VALUES (4, 'beta', 'secret', 'secret')", "INSERT INTO parts VALUES (4, 4, 'secret')"
    )
    assert table.capture_whole().commits == 5
    assert table.row().dropped == 2, "a document that came or changed, twice"
    assert set(table.documents()) == {"1", "3"}
    assert {row.body is None for row in table.rows().values() if row.label == "beta"} == {True}
    assert sum(row.body is None for row in table.rows().values()) == 5
    assert {epoch for epoch, _ in table.commits()} == {1}
    docs.execute("DELETE FROM docs WHERE id = 4", "DELETE FROM parts WHERE page IN (2, 4)")
    table.capture_whole()
    assert len(table.rows()) == 4


def test_rows_that_waited_for_a_tenant_are_its_own_from_then_on(registry, docs):
    docs.execute("UPDATE docs SET tenant = 'later' WHERE id = 3")
    table = captured_table(registry, docs)
    table.add_tenant("later")
    assert table.rows()["page", "3"].body is not None
    table.erase_tenant("later")
    assert [row.body for row in table.rows().values() if row.label == "later"] == [None]


def test_a_row_that_moves_from_an_erased_tenant_needs_a_new_snapshot(registry, docs):
    table = captured_table(registry, docs)
    table.erase_tenant("beta")
    docs.execute("UPDATE docs SET tenant = 'acme' WHERE id = 2")
    table.capture_whole()
    assert {epoch for epoch, _ in table.commits()} == {1, 2}
    assert table.documents() == in_table(docs)


def test_a_tenant_of_an_erased_one_s_name_gets_its_rows_whole(registry, docs):
    table = captured_table(registry, docs, **SECTIONS)
    table.erase_tenant("beta")
    table.add_tenant("beta")
    docs.execute("UPDATE parts SET text = 'edited' WHERE page = 2")
    table.capture_whole()
    assert table.documents()["2"][1].endswith("\n\nedited")
    assert len(table.documents()["2"][1]) > 9600


def test_erasing_the_owner_of_a_source_leaves_no_row(registry, docs):
    table = CapturedTable(
        registry, docs.url, {name: v for name, v in OPTIONS.items() if name != "tenant_column"}
    )
    owner = table.add_tenant("acme")
    with registry.write() as session:
        session.get_one(Source, table.id).tenant_id = owner
    table.capture_whole()
    assert len(table.rows()) == 3
    table.erase_tenant("acme")
    assert table.rows() == {}
    assert table.slot() is None


def test_removing_a_source_forgets_its_rows(shared):
    with shared.registry.write() as session:
        sources.remove(session, session.get_one(Source, shared.id), utc_now())
    assert shared.rows() == {}
    assert shared.slot() is None


# What a person sees.


def test_a_slot_that_retains_too_much_is_an_unhealthy_source_and_a_metric(registry, docs):
    table = captured_table(registry, docs, max_retained_wal_mb="1")
    slot = table.slot()
    assert slot is not None
    assert slots.danger(slot) == ""
    with registry.read() as session:
        acme = session.get_one(Source, table.id)
        (health,) = source_health(session, tenant_named(session, "acme"), utc_now())
        assert health.healthy
        assert acme.error == ""
    # A transaction that stays open holds the log back, however well capture keeps up.
    with docs.server.connected(docs.name) as other:
        other.execute("BEGIN")
        other.execute("UPDATE docs SET title = 'open' WHERE id = 3")
        docs.execute(
            "CREATE TABLE busy AS SELECT repeat(md5(i::text), 30) AS filler FROM generate_series(1, 4000) i"
        )
        docs.execute("UPDATE docs SET title = 'x' WHERE id = 1")
        table.capture_whole()
        with registry.read() as session:
            (health,) = source_health(session, tenant_named(session, "acme"), utc_now())
        assert not health.healthy
        assert "replication slot captured_table retains more than 1 MB" in health.summary
        assert health.failing_since is not None
        assert health.retained_bytes
        slot = table.slot()
        assert slot is not None
        assert slot.retained_bytes > slot.limit_bytes == 2**20
        assert slot.danger_since == health.failing_since
        shown = generate_latest(
            ApiMetrics(registry, lambda: utc_now() + timedelta(seconds=60)).collectors
        ).decode()
        values = {
            line.split("{")[0]: float(line.split()[-1])
            for line in shown.splitlines()
            if "slot_" in line and line[0] != "#"
        }
        assert values["holdfast_slot_retained_bytes"] == slot.retained_bytes
        assert values["holdfast_slot_retained_seconds"] >= 60
        assert values["holdfast_slot_in_danger"] == 1
        assert "holdfast_slot_safe_bytes" not in values, "nothing limits it here"
        other.execute("COMMIT")


def tenant_named(session, name):
    return tenants.find(session, name).id


def test_drift_is_named_and_what_it_makes_the_slot_retain_is_seen(registry, docs):
    table = captured_table(registry, docs, max_retained_wal_mb="1")
    docs.execute("ALTER TABLE docs RENAME COLUMN body TO text")
    docs.execute(
        "CREATE TABLE busy AS SELECT repeat(md5(i::text), 30) AS filler FROM generate_series(1, 4000) i"
    )
    assert "no column 'body'" in table.capture().error
    with registry.read() as session:
        (health,) = source_health(session, tenant_named(session, "acme"), utc_now())
    assert not health.healthy
    assert "no column 'body'" in health.summary
    assert "retains" in health.summary
    docs.execute("ALTER TABLE docs RENAME COLUMN text TO body")
    table.capture_whole()
    assert table.documents() == in_table(docs)
    with registry.read() as session:
        (health,) = source_health(session, tenant_named(session, "acme"), utc_now())
    assert health.healthy


def test_the_age_of_what_is_retained_counts_while_it_is_the_same():
    at = utc_now()
    slot = ReplicationSlot(
        source_id=1, name="s", wal_status="extended", retained_bytes=5, safe_bytes=None, limit_bytes=10, oldest="0/1",
        held_since=at, observed_at=at,
    )  # fmt: skip
    assert slots.held_seconds(slot, at + timedelta(seconds=7)) == 7
    assert slots.danger(slot) == ""
    slot.wal_status = "unreserved"
    assert "unreserved" in slots.danger(slot)
    slot.retained_bytes = 0
    assert slots.held_seconds(slot, at + timedelta(seconds=7)) == 0
