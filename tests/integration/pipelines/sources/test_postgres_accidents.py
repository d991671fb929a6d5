"""What happens to servers: stopped, failed over, or giving a slot up. On a server of its own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from pipelines.errors import SourceUnavailable
from tests.support.captured import Captured
from tests.support.logical_postgres import Database, LogicalServer, started


@pytest.fixture(scope="module")
def own_server() -> Iterator[LogicalServer]:
    """A server that may be stopped."""
    server = started()
    yield server
    server.remove()


@pytest.fixture
def docs(own_server: LogicalServer) -> Iterator[Database]:
    made = Database(own_server)
    made.execute(
        "CREATE TABLE docs (id int PRIMARY KEY, body text)", "INSERT INTO docs VALUES (1, 'one'), (2, 'two')"
    )
    yield made
    made.drop()


def texts(docs: Database) -> dict[str, str]:
    return {str(key): text for key, text in docs.query("SELECT id, body FROM docs")}


def test_a_server_that_is_stopped_is_unavailable_and_goes_on_where_it_was(docs, own_server):
    captured = Captured()
    captured.catch_up(docs.prepared())
    docs.execute("DELETE FROM docs WHERE id = 1")
    source = docs.source()
    docs.connection.close()
    own_server.stop("immediate")
    try:
        for broken in (source, docs.source()):
            for look in (broken.probe, broken.now, broken.slot_health, partial(captured.catch_up, broken)):
                with pytest.raises(SourceUnavailable, match="cannot be read"):
                    look()
    finally:
        own_server.start()
    assert set(captured.texts()) == {"1", "2"}
    docs.connection = own_server.connected(docs.name)
    docs.execute("INSERT INTO docs VALUES (3, 'three')")
    assert captured.catch_up(docs.source()) == 2
    assert not any(commit.snapshot for commit in captured.commits[1:])
    assert captured.texts() == texts(docs)


def test_a_failover_begins_an_epoch(docs, own_server):
    captured = Captured()
    captured.catch_up(docs.prepared())
    docs.execute("UPDATE docs SET body = 'not captured before the failover' WHERE id = 1")
    docs.connection.close()
    own_server.fail_over()
    docs.connection = own_server.connected(docs.name)
    docs.execute("DELETE FROM docs WHERE id = 2")
    assert captured.catch_up(docs.source()) == 1
    assert captured.commits[-1].snapshot
    assert "failed over or was restored (timeline 1 to 2)" in captured.commits[-1].state["epoch"]
    assert captured.texts() == texts(docs)
    docs.execute("INSERT INTO docs VALUES (3, 'three')")
    assert captured.catch_up(docs.source()) == 1
    assert captured.texts() == texts(docs)


def test_a_slot_that_the_server_gave_up_begins_an_epoch(docs, own_server):
    captured = Captured()
    captured.catch_up(docs.prepared())
    docs.execute("DELETE FROM docs WHERE id = 1")
    own_server.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'", "SELECT pg_reload_conf()")
    try:
        for _ in range(4):
            docs.execute(
                "SELECT pg_switch_wal()",
                "CREATE TABLE filler AS SELECT 1 AS x",
                "DROP TABLE filler",
                "CHECKPOINT",
            )
        health = docs.source().slot_health()
        assert health is not None
        assert health.wal_status == "lost"
        assert captured.catch_up(docs.source()) == 1
    finally:
        own_server.execute("ALTER SYSTEM RESET max_slot_wal_keep_size", "SELECT pg_reload_conf()")
    assert captured.commits[-1].snapshot
    assert "lost" in captured.commits[-1].state["epoch"]
    assert captured.texts() == texts(docs)
    docs.execute("UPDATE docs SET body = 'on' WHERE id = 2")
    assert captured.catch_up(docs.source()) == 1
    assert captured.texts() == texts(docs)


def test_the_limit_is_a_share_of_the_server_s_where_that_is_less(docs, own_server):
    captured = Captured()
    captured.catch_up(docs.prepared(retained_wal_share="0.25"))
    own_server.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '64MB'", "SELECT pg_reload_conf()")
    try:
        health = docs.source(retained_wal_share="0.25").slot_health()
    finally:
        own_server.execute("ALTER SYSTEM RESET max_slot_wal_keep_size", "SELECT pg_reload_conf()")
    assert health is not None
    assert health.limit_bytes == 16 * 2**20
    assert health.safe_wal_size is not None
    assert health.safe_wal_size > 0


def test_a_server_without_a_logical_log_is_refused(docs, own_server):
    docs.connection.close()
    own_server.execute("ALTER SYSTEM SET wal_level = 'replica'")
    own_server.restart()
    try:
        with pytest.raises(Exception, match="wal_level=replica: set wal_level = logical and restart"):
            docs.prepared()
    finally:
        own_server.execute("ALTER SYSTEM SET wal_level = 'logical'")
        own_server.restart()
        docs.connection = own_server.connected(docs.name)
