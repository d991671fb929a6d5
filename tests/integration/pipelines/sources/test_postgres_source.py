"""Logical decoding against a real server: what a commit holds, and what becomes of it when things go wrong."""

from __future__ import annotations

import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from pipelines.errors import SchemaDrift, SourceError, SourceUnavailable
from pipelines.sources.kinds import open_source, prepare_source
from pipelines.sources.postgres import postgres_source, slot, transaction
from pipelines.sources.postgres.lsn import lsn_of
from pipelines.sources.source import Cursor, Delete, SlotHealth, Upsert
from tests.support.captured import Captured, utc_now
from tests.support.logical_postgres import Database, given

DOCS = "CREATE TABLE docs (id int PRIMARY KEY, title text, body text)"
LARGE = "('x' || (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 300) i))"  # 9,601 bytes, out of line


@pytest.fixture
def docs(database: Database) -> Database:
    """Two documents in a table with a primary key."""
    database.execute(DOCS, "INSERT INTO docs VALUES (1, 'a', 'one'), (2, 'b', 'two')")
    return database


def first_read(database: Database, **options: str) -> Captured:
    captured = Captured()
    assert captured.catch_up(database.prepared(**options)) == 1
    assert captured.commits[0].snapshot
    return captured


def table(database: Database, columns: str = "id, body", name: str = "docs") -> dict[str, str]:
    return {str(key): text or "" for key, text in database.query(f"SELECT {columns} FROM {name}")}


def confirmed(database: Database) -> int:
    ((lsn,),) = database.query(
        "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE database = %s", database.name
    )
    return lsn_of(lsn)


# Commits.


def test_a_commit_is_a_transaction_net(docs):
    captured = first_read(docs)
    docs.transaction(
        "UPDATE docs SET body = 'uno' WHERE id = 1",
        "UPDATE docs SET body = 'ein' WHERE id = 1",
        "INSERT INTO docs VALUES (3, 'c', 'three'), (4, 'd', 'four')",
        "DELETE FROM docs WHERE id IN (2, 4)",
    )
    docs.execute("INSERT INTO docs VALUES (5, 'e', 'five')")
    assert captured.catch_up(docs.source()) == 2
    assert captured.changes[1] == [
        Upsert("1", "", f"{docs.name}/docs/1", b"ein", "text/markdown"),
        Delete("2"),
        Upsert("3", "", f"{docs.name}/docs/3", b"three", "text/markdown"),
    ]
    assert [change.key for change in captured.changes[2]] == ["5"]
    assert captured.texts() == table(docs)


@pytest.mark.parametrize("one_by_one", [True, False])
def test_transactions_that_overlap_are_commits_in_the_order_of_their_ends(docs, one_by_one):
    """Nothing is written between the two ends: the one begins at the very place where the other is over."""
    captured = first_read(docs)
    with docs.server.connected(docs.name) as one, docs.server.connected(docs.name) as other:
        for connection, body in ((one, "by one"), (other, "by the other")):
            connection.execute("BEGIN")
            connection.execute("INSERT INTO docs VALUES (%s, '', %s)", (len(body), body))
        other.execute("COMMIT")
        one.execute("COMMIT")
    reading = docs.source()
    for commit in reading.read(captured.cursor, captured):
        captured.apply(commit)
        reading.acknowledge(commit.position)
        if one_by_one:
            break
    captured.catch_up(docs.source())
    assert [[change.key for change in changes] for changes in captured.changes[1:]] == [["12"], ["6"]]
    assert captured.texts() == table(docs)


def test_a_transaction_that_was_rolled_back_never_was(docs):
    captured = first_read(docs)
    with pytest.raises(psycopg.errors.DivisionByZero):
        docs.transaction("DELETE FROM docs", "SELECT 1 / 0")
    with docs.connection.transaction():
        docs.execute("INSERT INTO docs VALUES (3, 'c', 'three')", "SAVEPOINT s", "DELETE FROM docs")
        docs.execute("ROLLBACK TO s")
    assert captured.catch_up(docs.source()) == 1
    assert captured.texts() == table(docs) == {"1": "one", "2": "two", "3": "three"}


def test_positions_are_the_ends_of_commits_and_sort_as_text(docs):
    captured = first_read(docs)
    ends = []
    for number in range(3):
        docs.execute(f"UPDATE docs SET body = '{number}' WHERE id = 1")
        ends.append(docs.query("SELECT pg_current_wal_lsn()::text")[0][0])
    captured.catch_up(docs.source())
    positions = [commit.position for commit in captured.commits]
    assert [lsn_of(position) for position in positions[1:]] == [lsn_of(end) for end in ends]
    assert positions == sorted(positions)
    assert len(set(positions)) == 4


def test_commit_times_are_the_server_s(docs):
    captured = first_read(docs)
    with docs.connection.transaction():
        docs.execute("UPDATE docs SET body = 'x' WHERE id = 1")
    before = docs.query("SELECT clock_timestamp()")[0][0]
    captured.catch_up(docs.source())
    source = docs.source()
    assert timedelta(0) <= before - captured.commits[-1].committed_at < timedelta(seconds=5)
    assert abs(source.now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_a_commit_is_kept_until_it_is_registered_and_given_once(docs):
    captured = first_read(docs)
    for number in range(3):
        docs.execute(f"INSERT INTO docs VALUES ({number + 3}, '', 'n{number}')")
        assert captured.catch_up(docs.source(), acknowledge=False) == 1
        assert captured.cursor is not None
        registered = lsn_of(captured.cursor.position)
        assert confirmed(docs) < registered, "nobody has said that it is registered"
        assert captured.catch_up(docs.source(), acknowledge=False) == 0
        assert confirmed(docs) == registered, (
            "a look that goes on from there says so, whatever was killed before"
        )
    docs.source().acknowledge(captured.cursor.position)
    assert confirmed(docs) == registered
    assert captured.catch_up(docs.source()) == 0
    docs.execute("DELETE FROM docs WHERE id = 3")
    assert captured.catch_up(docs.source()) == 1
    assert captured.texts() == table(docs)


def test_within_a_read_acknowledgements_wait_and_are_made_at_its_end(docs, monkeypatch):
    advanced: list[int] = []
    monkeypatch.setattr(slot, "advance", lambda connection, name, position: advanced.append(position))
    captured = first_read(docs)
    for number in range(5):
        docs.execute(f"INSERT INTO docs VALUES ({number + 3}, '', 'n{number}')")
    assert captured.catch_up(docs.source()) == 5
    assert captured.cursor is not None
    assert advanced == [lsn_of(captured.cursor.position)]


def test_acknowledging_while_the_log_is_still_read(docs, monkeypatch):
    monkeypatch.setattr(postgres_source, "ACKNOWLEDGE_BYTES", 1)
    captured = first_read(docs)
    for number in range(20):
        docs.execute(f"INSERT INTO docs VALUES ({number + 3}, '', repeat('{number}', 2000))")
    source = docs.source()
    for commit in source.read(captured.cursor, captured):
        captured.apply(commit)
        source.acknowledge(commit.position)
        assert confirmed(docs) == lsn_of(commit.position)
    assert captured.texts() == table(docs)


def test_windows_of_the_log_end_nowhere_within_a_transaction(docs, monkeypatch):
    monkeypatch.setattr(postgres_source, "WINDOW_BYTES", 700)
    captured = first_read(docs)
    for number in range(3, 30):
        docs.transaction(
            f"INSERT INTO docs VALUES ({number}, '', repeat('y', 300)), ({-number}, '', '')",
            f"UPDATE docs SET body = '{number}' WHERE id IN (1, 2)",
        )
    for acknowledge in (False, True):
        again = Captured()
        again.documents, again.cursor = dict(captured.documents), captured.cursor
        again.rows.kept = dict(captured.rows.kept)
        again.commits, again.changes = list(captured.commits), list(captured.changes)
        assert again.catch_up(docs.source(), acknowledge=acknowledge) == 27
        assert again.texts() == table(docs)


def test_the_snapshot_and_the_log_meet_without_gap_or_overlap(docs):
    stop = threading.Event()

    def write() -> None:
        with docs.server.connected(docs.name) as connection:
            number = 100
            while not stop.wait(0.002):
                connection.execute("INSERT INTO docs VALUES (%s, '', %s)", (number, f"n{number}"))
                number += 1

    source = docs.prepared()
    writer = threading.Thread(target=write)
    writer.start()
    try:
        captured = Captured()
        for _ in range(5):
            captured.catch_up(source)
    finally:
        stop.set()
        writer.join()
    captured.catch_up(source)
    assert captured.texts() == table(docs)
    keys = [change.key for changes in captured.changes for change in changes]
    assert len(keys) == len(set(keys)), "each row was inserted once and must be told of once"
    assert len(captured.commits) > 3


def test_unrelated_traffic_is_acknowledged_once_it_is_much(docs, monkeypatch):
    captured = first_read(docs)
    docs.execute("CREATE TABLE busy (id serial, filler text)")
    docs.execute("INSERT INTO busy (filler) SELECT repeat('z', 1000) FROM generate_series(1, 500)")
    assert captured.catch_up(docs.source()) == 0, "a little is not worth a write to the registry"
    docs.execute("INSERT INTO busy (filler) SELECT repeat('z', 1000) FROM generate_series(1, 2000)")
    before = confirmed(docs)
    assert captured.catch_up(docs.source(), acknowledge=False) == 1
    assert captured.changes[-1] == []
    assert confirmed(docs) == before, "only once the registry knows"
    assert captured.cursor is not None
    docs.source().acknowledge(captured.cursor.position)
    assert confirmed(docs) > before + postgres_source.IDLE_BYTES
    docs.execute("UPDATE docs SET body = 'after' WHERE id = 1")
    assert captured.catch_up(docs.source()) == 1
    assert captured.texts() == table(docs)


# Rows.


def test_an_unchanged_large_value_is_kept(docs):
    captured = first_read(docs, title="title")
    docs.execute(f"INSERT INTO docs VALUES (3, 'large', {LARGE})")
    docs.execute("UPDATE docs SET title = 'renamed' WHERE id = 3")
    docs.execute("UPDATE docs SET id = 30 WHERE id = 3")
    docs.transaction(
        "UPDATE docs SET body = body || '!' WHERE id = 30", "UPDATE docs SET title = 't' WHERE id = 30"
    )
    docs.transaction("UPDATE docs SET id = 3 WHERE id = 30", "UPDATE docs SET title = 'u' WHERE id = 3")
    assert captured.catch_up(docs.source(title="title")) == 5
    sizes = [
        len(change.content)
        for changes in captured.changes[1:]
        for change in changes
        if isinstance(change, Upsert)
    ]
    assert sizes == [9601, 9601, 9601, 9602, 9602]
    assert captured.texts() == table(docs)
    document = captured.documents["3"]
    assert isinstance(document, Upsert)
    assert document.title == "u"


IDENTITIES = {
    "default": (),
    "full": ("ALTER TABLE docs REPLICA IDENTITY FULL",),
    "index": (
        "CREATE UNIQUE INDEX chosen ON docs (slug)",
        "ALTER TABLE docs REPLICA IDENTITY USING INDEX chosen",
    ),
    "full without a primary key": (
        "ALTER TABLE docs DROP CONSTRAINT docs_pkey",
        "CREATE UNIQUE INDEX chosen ON docs (slug)",
        "ALTER TABLE docs REPLICA IDENTITY FULL",
    ),
}


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize("key", ["id", "slug"])
def test_every_replica_identity(database, identity, key):
    database.execute(
        "CREATE TABLE docs (id int PRIMARY KEY, slug text NOT NULL, title text, body text)",
        *IDENTITIES[identity],
    )
    database.execute(f"INSERT INTO docs SELECT i, 's' || i, 't', {LARGE} || i FROM generate_series(1, 6) i")
    captured = first_read(database, key=key, title="title")
    database.execute("UPDATE docs SET title = 'new' WHERE id = 1")
    database.execute("UPDATE docs SET slug = 'moved', title = 'm' WHERE id = 2")
    database.execute("UPDATE docs SET id = 33 WHERE id = 3")
    database.transaction(
        "UPDATE docs SET id = 44, slug = 's44' WHERE id = 4", "DELETE FROM docs WHERE id = 5"
    )
    assert captured.catch_up(database.source(key=key, title="title")) == 4
    assert captured.texts() == table(database, f"{key}, body")
    titles = {
        name: document.title for name, document in captured.documents.items() if isinstance(document, Upsert)
    }
    assert titles == table(database, f"{key}, title")
    database.execute("DELETE FROM docs")
    captured.catch_up(database.source(key=key, title="title"))
    assert captured.documents == {}


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (("ALTER TABLE docs REPLICA IDENTITY NOTHING",), "replica identity nothing"),
        (("ALTER TABLE docs DROP CONSTRAINT docs_pkey",), "no primary key"),
        (
            ("ALTER TABLE docs DROP CONSTRAINT docs_pkey", "ALTER TABLE docs REPLICA IDENTITY FULL"),
            "neither a primary key nor a unique index",
        ),
    ],
)
def test_a_table_whose_rows_cannot_be_told_apart_is_refused_before_it_is_harmed(docs, statements, said):
    docs.execute(*statements)
    with pytest.raises(SourceError, match=said):
        docs.prepared()
    docs.execute("UPDATE docs SET body = 'still writable' WHERE id = 1", "DELETE FROM docs WHERE id = 2")
    assert docs.query("SELECT count(*) FROM pg_publication") == [(0,)]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("CREATE VIEW docs AS SELECT 1 AS id, '' AS body", "a view"),
        ("CREATE MATERIALIZED VIEW docs AS SELECT 1 AS id, '' AS body", "a materialized view"),
        ("CREATE UNLOGGED TABLE docs (id int PRIMARY KEY, body text)", "unlogged"),
        (
            "CREATE TABLE docs (id int PRIMARY KEY, body text); CREATE TABLE heir () INHERITS (docs)",
            "inherited",
        ),
        ("CREATE TABLE docs (id int PRIMARY KEY, text text)", r"no column 'body'; it has id, text"),
        (
            "CREATE TABLE docs (id int PRIMARY KEY, body text GENERATED ALWAYS AS ('x') STORED)",
            "leaves column body",
        ),
        ("CREATE TABLE other (id int PRIMARY KEY)", "no table 'docs'"),
    ],
)
def test_what_the_log_does_not_tell_of_is_refused(database, made, said):
    database.execute(made)
    with pytest.raises(SourceError, match=said):
        database.prepared()
    assert database.query("SELECT count(*) FROM pg_publication") == [(0,)]


def test_a_key_moves_and_another_takes_its_place(docs):
    captured = first_read(docs)
    docs.transaction("UPDATE docs SET id = 9 WHERE id = 1", "INSERT INTO docs VALUES (1, '', 'new one')")
    assert captured.catch_up(docs.source()) == 1
    assert {type(change).__name__ + change.key for change in captured.changes[1]} == {"Upsert1", "Upsert9"}
    assert captured.texts() == table(docs)


def test_truncate(docs):
    docs.execute("CREATE TABLE other (id int PRIMARY KEY)")
    captured = first_read(docs)
    docs.transaction(
        "INSERT INTO docs VALUES (3, '', 'short-lived')",
        "TRUNCATE other, docs",
        "INSERT INTO docs VALUES (2, '', '2')",
    )
    assert captured.catch_up(docs.source()) == 1
    assert [(type(change), change.key) for change in captured.changes[1]] == [(Delete, "1"), (Upsert, "2")]
    assert captured.texts() == table(docs) == {"2": "2"}
    docs.execute("TRUNCATE docs", "INSERT INTO docs VALUES (1, '', 'back')")
    assert captured.catch_up(docs.source()) == 2
    assert captured.texts() == table(docs)
    assert len(captured.rows.kept) == 1


def test_types_become_what_they_mean(database):
    database.execute(
        "CREATE TYPE mood AS ENUM ('glad')",
        "CREATE TABLE docs (id uuid PRIMARY KEY, body bytea, n int, f float8, d numeric, b bool, j jsonb, a text[], "
        "w timestamptz, m mood, e int)",
    )
    key = "0f8fad5b-d9cb-469f-a165-70867728950e"
    values = (
        "'\\xff00ab', 7, 0.5, 12.50, true, '{\"x\": [1, null]}', '{p,\"q r\"}', '2026-01-02 03:04:05+01', "
        "'glad', NULL"
    )
    database.execute(f"INSERT INTO docs VALUES ('{key}', {values})")
    captured = first_read(database, metadata="n,f,d,b,j,a,w,m,e")
    (document,) = captured.documents.values()
    assert isinstance(document, Upsert)
    assert (document.key, document.content) == (key, b"\xff\x00\xab")
    meant = {
        "n": 7, "f": 0.5, "d": 12.5, "b": True, "j": {"x": [1, None]}, "a": ["p", "q r"],
        "w": "2026-01-02 02:04:05+00", "m": "glad", "e": None,
    }  # fmt: skip
    assert document.metadata == meant
    database.execute("UPDATE docs SET n = 8")
    captured.catch_up(database.source(metadata="n,f,d,b,j,a,w,m,e"))
    (document,) = captured.documents.values()
    assert isinstance(document, Upsert)
    assert document.metadata == {**meant, "n": 8}, "the log writes values as the snapshot did"


def test_the_log_and_a_snapshot_write_every_value_alike(database):
    database.execute("ALTER DATABASE " + database.name + " SET datestyle = 'German'")
    database.execute("ALTER DATABASE " + database.name + " SET bytea_output = 'escape'")
    columns = "t text, c char(5), d date, i interval, m money, f float4, y bytea"
    database.execute(f"CREATE TABLE docs (id int PRIMARY KEY, body text, {columns})")
    row = r"E'tab\there\\nno \\N end\r\n', 'ab', '2026-02-03', '1 day 2 hours', 12.34, 0.1, '\x00ff'"
    metadata = "t,c,d,i,m,f,y"
    database.execute(f"INSERT INTO docs VALUES (1, 'b', {row})")
    captured = first_read(database, metadata=metadata)
    database.execute(f"INSERT INTO docs VALUES (2, 'b', {row})")
    captured.catch_up(database.source(metadata=metadata))
    one, two = captured.documents["1"], captured.documents["2"]
    assert isinstance(one, Upsert)
    assert isinstance(two, Upsert)
    assert one.metadata == two.metadata
    assert one.metadata["t"] == "tab\there\\nno \\N end\r\n"
    assert one.metadata["d"] == "2026-02-03"


def test_rows_that_are_no_document_are_unreadable_and_heal(database):
    database.execute("CREATE TABLE docs (id int PRIMARY KEY, slug text, body text)")
    database.execute("INSERT INTO docs VALUES (1, 'a', '1'), (2, 'a', '2'), (3, NULL, '3'), (4, 'b', '4')")
    captured = first_read(database, key="slug")
    assert captured.texts() == {"b": "4"}
    assert sorted(captured.flaws().values()) == [
        "its row has no key", "several rows have this key; keys must be unique",
    ]  # fmt: skip
    database.execute("UPDATE docs SET slug = 'c' WHERE id = 2", "UPDATE docs SET slug = 'd' WHERE id = 3")
    assert captured.catch_up(database.source(key="slug")) == 2
    assert captured.texts() == table(database, "slug, body")
    assert captured.flaws() == {}
    database.execute("UPDATE docs SET slug = 'b' WHERE id = 1")
    captured.catch_up(database.source(key="slug"))
    assert captured.flaws() == {"b": "several rows have this key; keys must be unique"}
    database.execute("DELETE FROM docs WHERE id = 4")
    captured.catch_up(database.source(key="slug"))
    assert captured.texts() == table(database, "slug, body")


def test_partitions_are_their_parent(database):
    database.execute(
        "CREATE TABLE docs (id int, part int, body text, PRIMARY KEY (id, part)) PARTITION BY LIST (part)",
        "CREATE TABLE docs_1 PARTITION OF docs FOR VALUES IN (1)",
        "CREATE TABLE docs_2 PARTITION OF docs FOR VALUES IN (2)",
        "INSERT INTO docs VALUES (1, 1, 'one'), (2, 2, 'two')",
    )
    captured = first_read(database)
    database.execute(
        "UPDATE docs SET part = 2 WHERE id = 1",
        "INSERT INTO docs_1 VALUES (3, 1, 'three')",
        "DELETE FROM docs_2 WHERE id = 2",
    )
    assert captured.catch_up(database.source()) == 3
    assert captured.texts() == table(database)
    database.execute(
        "CREATE TABLE docs_3 (id int NOT NULL, part int NOT NULL, body text, PRIMARY KEY (id, part))"
    )
    database.execute("INSERT INTO docs_3 VALUES (7, 3, 'attached')")
    database.execute("ALTER TABLE docs ATTACH PARTITION docs_3 FOR VALUES IN (3)")
    captured.catch_up(database.source())
    assert captured.commits[-1].snapshot, "attaching rows is not in the log"
    assert captured.texts() == table(database)
    database.execute("TRUNCATE docs_1")
    captured.catch_up(database.source())
    assert captured.texts() == table(database)


def test_messages_origins_and_types_are_read_past(docs):
    docs.execute("CREATE TYPE kind AS ENUM ('k')", "ALTER TABLE docs ADD COLUMN kind kind")
    captured = first_read(docs, metadata="kind")
    docs.execute(
        "SELECT pg_replication_origin_create('elsewhere')",
        "SELECT pg_replication_origin_session_setup('elsewhere')",
    )
    docs.transaction(
        "SELECT pg_logical_emit_message(true, 'prefix', 'content')", "UPDATE docs SET kind = 'k' WHERE id = 1"
    )
    docs.execute(
        "SELECT pg_replication_origin_session_reset()", "SELECT pg_replication_origin_drop('elsewhere')"
    )
    assert captured.catch_up(docs.source(metadata="kind")) == 1
    document = captured.documents["1"]
    assert isinstance(document, Upsert)
    assert document.metadata == {"kind": "k"}


def test_a_large_transaction_goes_through_in_batches(docs, monkeypatch):
    monkeypatch.setattr(transaction, "BATCH_EVENTS", 7)
    captured = first_read(docs)
    docs.transaction(
        "INSERT INTO docs SELECT i, '', 'n' || i FROM generate_series(3, 200) i",
        "UPDATE docs SET body = body || '!'",
        "DELETE FROM docs WHERE id % 3 = 0",
        "UPDATE docs SET id = id + 1000 WHERE id % 5 = 0",
        "UPDATE docs SET title = 't' WHERE id % 7 = 0",
    )
    assert captured.catch_up(docs.source()) == 1
    assert captured.texts() == table(docs)


# The table changes.


def test_a_column_that_comes_or_goes_unmapped_is_no_matter(docs):
    docs.execute("ALTER TABLE docs ADD COLUMN extra text")
    captured = first_read(docs)
    docs.execute("UPDATE docs SET body = 'x' WHERE id = 1", "ALTER TABLE docs DROP COLUMN extra")
    docs.execute("ALTER TABLE docs ADD COLUMN more int DEFAULT 7", "UPDATE docs SET body = 'y' WHERE id = 2")
    docs.execute(
        "ALTER TABLE docs RENAME COLUMN title TO name", "INSERT INTO docs (id, body) VALUES (3, 'z')"
    )
    assert captured.catch_up(docs.source()) == 3
    assert captured.texts() == table(docs)
    assert not any(commit.snapshot for commit in captured.commits[1:])


def test_a_mapped_column_that_disappears_stops_capture_and_loses_nothing(docs):
    captured = first_read(docs)
    docs.execute("UPDATE docs SET body = 'before' WHERE id = 1")
    docs.execute("ALTER TABLE docs RENAME COLUMN body TO text")
    docs.execute("UPDATE docs SET text = 'meanwhile' WHERE id = 2", "DELETE FROM docs WHERE id = 1")
    for _ in range(2):
        with pytest.raises(SchemaDrift, match="no column 'body' any more; it has id, title, text"):
            captured.catch_up(docs.source())
        assert captured.texts() == {"1": "before", "2": "two"}, (
            "what came before the change is captured, and no more"
        )
    with pytest.raises(SchemaDrift):
        docs.source().probe()
    docs.execute("ALTER TABLE docs RENAME COLUMN text TO body", "INSERT INTO docs VALUES (3, '', 'after')")
    assert captured.catch_up(docs.source()) == 1
    assert captured.commits[-1].snapshot, (
        "the log of the time between names no such column: only a snapshot is honest"
    )
    assert captured.texts() == table(docs)
    docs.execute("UPDATE docs SET body = 'on' WHERE id = 3")
    assert captured.catch_up(docs.source()) == 1
    assert captured.texts() == table(docs)


def test_a_mended_option_resumes_with_a_snapshot(docs):
    captured = first_read(docs)
    docs.execute("ALTER TABLE docs RENAME COLUMN body TO text", "UPDATE docs SET text = 'new' WHERE id = 1")
    with pytest.raises(SchemaDrift):
        captured.catch_up(docs.source())
    mended = docs.source(body="text")
    assert captured.catch_up(mended) == 1
    assert captured.texts() == table(docs, "id, text")


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE docs ALTER COLUMN body TYPE text USING upper(body)",
        "ALTER TABLE docs DROP COLUMN body; ALTER TABLE docs ADD COLUMN body text DEFAULT 'reset'",
        "ALTER TABLE docs ALTER COLUMN id TYPE bigint",
        "ALTER TABLE docs REPLICA IDENTITY FULL",
    ],
)
def test_a_change_that_the_log_does_not_tell_row_by_row_begins_an_epoch(docs, statement):
    captured = first_read(docs)
    docs.execute(statement)
    docs.execute("UPDATE docs SET title = 'x' WHERE id = 1")
    captured.catch_up(docs.source())
    assert captured.commits[-1].snapshot
    assert captured.texts() == table(docs)


def test_a_table_that_vanished_is_an_error_and_no_deletion(docs):
    captured = first_read(docs)
    docs.execute("UPDATE docs SET body = 'last' WHERE id = 1", "ALTER TABLE docs RENAME TO gone")
    with pytest.raises(SchemaDrift, match="no table 'docs'"):
        captured.catch_up(docs.source())
    assert captured.texts() == {"1": "last", "2": "two"}
    docs.execute("ALTER TABLE gone RENAME TO docs", "UPDATE docs SET body = 'again' WHERE id = 2")
    captured.catch_up(docs.source())
    assert captured.texts() == table(docs)
    docs.execute("DROP TABLE docs", DOCS)
    with pytest.raises(SchemaDrift, match="does not hold table docs: ALTER PUBLICATION"):
        captured.catch_up(docs.source())
    assert set(captured.texts()) == {"1", "2"}
    docs.execute(
        f"ALTER PUBLICATION {docs.slots()[0]} ADD TABLE docs", "INSERT INTO docs VALUES (9, '', 'new')"
    )
    captured.catch_up(docs.source())
    assert captured.texts() == table(docs) == {"9": "new"}


# The publication.


def test_what_happened_while_the_table_was_not_published_is_not_lost(docs):
    captured = first_read(docs)
    name = docs.slots()[0]
    docs.execute(
        f"ALTER PUBLICATION {name} DROP TABLE docs",
        "DELETE FROM docs WHERE id = 1",
        f"ALTER PUBLICATION {name} ADD TABLE docs",
    )
    captured.catch_up(docs.source())
    assert captured.texts() == table(docs) == {"2": "two"}
    docs.execute(
        f"ALTER PUBLICATION {name} SET (publish = 'insert')",
        "DELETE FROM docs WHERE id = 2",
        f"ALTER PUBLICATION {name} SET (publish = 'insert, update, delete, truncate')",
    )
    captured.catch_up(docs.source())
    assert captured.texts() == table(docs) == {}
    docs.execute(f"DROP PUBLICATION {name}", "INSERT INTO docs VALUES (3, '', 'three')")
    with pytest.raises(SchemaDrift, match="no publication"):
        captured.catch_up(docs.source())
    docs.execute(f"CREATE PUBLICATION {name} FOR TABLE docs")
    captured.catch_up(docs.source())
    assert captured.texts() == table(docs)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("FOR TABLE docs WITH (publish = 'insert, update')", "leaves out some kinds of changes"),
        ("FOR TABLE docs (id, title)", "leaves column body"),
        ("FOR TABLE other", "does not hold table docs"),
    ],
)
def test_a_publication_that_leaves_something_out_is_refused(docs, made, said):
    docs.execute("CREATE TABLE other (id int PRIMARY KEY)", f"CREATE PUBLICATION theirs {made}")
    with pytest.raises(SourceError, match=said):
        docs.prepared(publication="theirs")


def test_a_row_filter_holds_for_snapshot_and_log(docs):
    docs.execute("CREATE PUBLICATION theirs FOR TABLE docs WHERE (id > 1)")
    captured = first_read(docs, publication="theirs")
    assert captured.texts() == {"2": "two"}
    docs.execute("UPDATE docs SET id = 5 WHERE id = 1", "UPDATE docs SET id = 0 WHERE id = 2")
    captured.catch_up(docs.source(publication="theirs"))
    assert captured.texts() == {"5": "one"}


def test_a_publication_of_everything_tells_of_others_too(docs):
    docs.execute(
        "CREATE TABLE other (id int PRIMARY KEY, body text)", "CREATE PUBLICATION theirs FOR ALL TABLES"
    )
    captured = first_read(docs, publication="theirs")
    docs.execute("INSERT INTO other VALUES (1, 'not ours')")
    docs.transaction("INSERT INTO other VALUES (2, 'not ours')", "UPDATE docs SET body = 'ours' WHERE id = 2")
    assert captured.catch_up(docs.source(publication="theirs")) == 1
    assert captured.texts() == table(docs)
    docs.dispose(publication="theirs")
    assert docs.query("SELECT pubname FROM pg_publication") == [("theirs",)], "it was not ours to drop"


# The slot and the server.


def test_removing_drops_what_was_made_and_twice_is_no_error(docs):
    first_read(docs)
    assert len(docs.slots()) == 1
    for _ in range(2):
        docs.dispose()
        assert docs.slots() == []
        assert docs.query("SELECT count(*) FROM pg_publication") == [(0,)]


def test_a_slot_that_is_there_is_not_taken_over(docs):
    docs.execute("SELECT pg_create_logical_replication_slot('theirs', 'pgoutput')")
    with pytest.raises(SourceError, match="replication slot theirs already"):
        docs.prepared(slot="theirs")


def test_no_slot_is_made_before_the_first_capture(docs):
    source = docs.prepared()
    assert source.probe().note.startswith("the first capture makes replication slot")
    assert source.slot_health() is None
    assert docs.slots() == []


def test_a_slot_that_is_gone_begins_an_epoch(docs):
    captured = first_read(docs)
    docs.execute(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()"
    )
    docs.execute("DELETE FROM docs WHERE id = 1", "UPDATE docs SET body = 'x' WHERE id = 2")
    assert captured.catch_up(docs.source()) == 1
    assert captured.commits[-1].snapshot
    assert captured.texts() == table(docs)
    assert captured.commits[-1].state["epoch"] == "the replication slot is gone"


def test_a_slot_that_somebody_else_read_begins_an_epoch(docs):
    captured = first_read(docs)
    docs.execute("DELETE FROM docs WHERE id = 1")
    docs.execute(f"SELECT pg_replication_slot_advance('{docs.slots()[0]}', pg_current_wal_lsn())")
    captured.catch_up(docs.source())
    assert captured.commits[-1].snapshot
    assert captured.texts() == table(docs)


@pytest.mark.parametrize(
    ("server", "said"), [({"system": "1", "timeline": 1}, "another server"), ({"timeline": 0}, "failed over")]
)
def test_another_server_or_timeline_begins_an_epoch(docs, server, said):
    captured = first_read(docs)
    assert captured.cursor is not None
    before = captured.cursor.state["server"]
    captured.cursor = Cursor(
        captured.cursor.position, {**captured.cursor.state, "server": {**before, **server}}
    )
    docs.execute("DELETE FROM docs WHERE id = 1")
    captured.catch_up(docs.source())
    assert captured.commits[-1].snapshot
    assert said in captured.commits[-1].state["epoch"]
    assert captured.texts() == table(docs)


def test_a_log_that_ends_before_the_position_begins_an_epoch(docs):
    captured = first_read(docs)
    assert captured.cursor is not None
    captured.cursor = Cursor("0000FFFF/00000000", captured.cursor.state)
    docs.execute("DELETE FROM docs WHERE id = 1")
    captured.catch_up(docs.source())
    assert captured.commits[-1].snapshot
    assert captured.texts() == table(docs)


def test_two_readers_of_one_slot(docs):
    captured = first_read(docs)
    docs.execute("UPDATE docs SET body = 'x' WHERE id = 1")
    name = docs.slots()[0]
    with closing(psycopg.connect(docs.url, replication="database", autocommit=True)) as other:
        options = f"proto_version '1', publication_names '{name}'"
        other.pgconn.exec_(f"START_REPLICATION SLOT {name} LOGICAL 0/0 ({options})".encode())
        with pytest.raises(SourceUnavailable, match="another process reads the replication slot"):
            captured.catch_up(docs.source())
    assert captured.texts() == {"1": "one", "2": "two"}


def test_a_slot_waits_for_open_transactions_only_so_long(docs, monkeypatch):
    monkeypatch.setattr(slot, "CREATION_SECONDS", 0.3)
    source = docs.prepared()
    with docs.server.connected(docs.name) as other:
        other.execute("BEGIN")
        other.execute("UPDATE docs SET body = 'open' WHERE id = 1")
        with pytest.raises(SourceUnavailable, match="waits for transactions that were open"):
            Captured().catch_up(source)
        other.execute("COMMIT")
    captured = Captured()
    captured.catch_up(source)
    assert captured.texts() == table(docs)


def test_health_tells_what_is_retained_and_when_it_is_too_much(docs):
    captured = first_read(docs, max_retained_wal_mb="1")
    docs.execute(
        "CREATE TABLE busy AS SELECT repeat(md5(i::text), 30) AS filler FROM generate_series(1, 4000) i"
    )
    health = docs.source(max_retained_wal_mb="1").slot_health()
    assert isinstance(health, SlotHealth)
    assert health.wal_status == "reserved"
    assert health.limit_bytes == 2**20 < 3 * 2**20 < health.retained_bytes
    assert captured.cursor is not None
    assert health.oldest <= captured.cursor.position


def test_a_role_with_no_more_than_it_needs(docs):
    user = f"reader_{docs.name}"
    docs.execute(f"CREATE ROLE {user} LOGIN", f"GRANT SELECT (id) ON docs TO {user}")
    url = docs.server.url(docs.name, user)
    options = given({"slot": "own_slot", "publication": "own"})

    def prepare() -> None:
        prepare_source("postgres", url, options, utc_now, Path("unused"))

    try:
        with pytest.raises(SourceError, match="may not read table docs: GRANT SELECT"):
            prepare()
        docs.execute(f"GRANT SELECT ON docs TO {user}")
        with pytest.raises(SourceError, match="The role needs REPLICATION"):
            prepare()
        docs.execute(f"ALTER ROLE {user} REPLICATION")
        said = r'may not make a publication.*CREATE PUBLICATION "own" FOR TABLE "public"."docs"'
        with pytest.raises(SourceError, match=said):
            prepare()
        docs.execute("CREATE PUBLICATION own FOR TABLE docs")
        prepare()
        captured = Captured()
        source = open_source("postgres", url, options, utc_now, Path("unused"))
        captured.catch_up(source)
        docs.execute("DELETE FROM docs WHERE id = 1")
        captured.catch_up(source)
        assert captured.texts() == table(docs)
    finally:
        docs.execute(f"DROP OWNED BY {user}", f"DROP ROLE {user}")


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u:s3cr%40t@localhost:1/db", "postgresql://u:s3cr%40t@localhost/db?port=x&sslmode=none",
        "postgresql://u@localhost:1/db?password=s3cr@t", "host=localhost password=s3cr@t", "mysql://u:s3cr%40t@h/db",
        "postgresql://u:s3cr%40t@[::1/db",
    ],
)  # fmt: skip
def test_no_password_is_told(address):
    with pytest.raises(SourceError) as caught:
        open_source("postgres", address, given({}), utc_now, Path("unused")).probe()
    error: BaseException | None = caught.value
    while error is not None:
        assert "s3cr" not in f"{error!r} {error}"
        error = error.__cause__


# Pages of sections.

SECTIONS = {
    "child_table": "parts", "child_parent": "page", "child_order": "place", "child_body": "text", "child_title": "head",
}  # fmt: skip


@pytest.fixture
def pages(database: Database) -> Database:
    """Two pages, of three sections and one."""
    database.execute(
        "CREATE TABLE docs (id int PRIMARY KEY, body text)",
        "CREATE TABLE parts (id serial PRIMARY KEY, page int, place numeric, head text, text text)",
        "INSERT INTO docs VALUES (1, 'lead'), (2, NULL)",
        "INSERT INTO parts (page, place, head, text) VALUES (1, 10, 'ten', 'x'), (1, 2, 'two', 'y'), "
        "(1, NULL, NULL, 'z'), (2, 1, 'only', 'w')",
    )
    return database


def composed(database: Database) -> dict[str, str]:
    """The oracle: what each page is now, asked of the tables."""
    section = "coalesce('## ' || nullif(head, '') || E'\\n\\n', '') || coalesce(text, '')"
    sections = (
        f"SELECT string_agg({section}, E'\\n\\n' ORDER BY place NULLS LAST) FROM parts WHERE page = d.id"
    )
    found = database.query(f"SELECT d.id, concat_ws(E'\\n\\n', nullif(d.body, ''), ({sections})) FROM docs d")
    return {str(key): text for key, text in found}


def test_a_page_is_its_sections_in_order(pages):
    captured = first_read(pages, body="body", **SECTIONS)
    assert captured.texts() == composed(pages)
    assert captured.texts()["1"] == "lead\n\n## two\n\ny\n\n## ten\n\nx\n\nz"
    with_lead = captured.documents
    alone = Captured()
    alone.catch_up(pages.prepared(**SECTIONS, slot="another"))
    assert alone.texts()["1"] == with_lead["1"].content.decode().removeprefix("lead\n\n")


def test_a_page_is_composed_as_it_was_at_each_commit(pages):
    captured = first_read(pages, body="body", **SECTIONS)
    steps = [
        ("UPDATE parts SET text = 'edited' WHERE place = 2",),
        ("UPDATE parts SET place = 1 WHERE place = 10",),
        ("INSERT INTO parts (page, place, text) VALUES (2, 0, 'first'), (2, 5, 'last')",),
        ("UPDATE parts SET page = 2 WHERE head = 'two'",),
        ("DELETE FROM parts WHERE head = 'only'",),
        ("UPDATE docs SET body = 'new lead' WHERE id = 1",),
        ("UPDATE docs SET id = 3 WHERE id = 1", "UPDATE parts SET page = 3 WHERE page = 1"),
        ("INSERT INTO parts (page, place, text) VALUES (4, 1, 'comes before its page')",),
        ("INSERT INTO docs VALUES (4, 'late')",),
        ("DELETE FROM parts WHERE page = 2",),
        ("DELETE FROM docs WHERE id = 4",),
        ("TRUNCATE parts",),
    ]
    expected = []
    for statements in steps:
        pages.transaction(*statements)
        expected.append(composed(pages))
    seen = []
    for commit in pages.source(body="body", **SECTIONS).read(captured.cursor, captured):
        captured.apply(commit)
        seen.append(captured.texts())
    assert seen == expected


def test_sections_refer_to_what_they_are_told_to(database):
    database.execute(
        "CREATE TABLE docs (slug text PRIMARY KEY, num int)",
        "CREATE TABLE parts (id int PRIMARY KEY, page int, place text, text text)",
        "INSERT INTO docs VALUES ('a', 1), ('b', 2)", "INSERT INTO parts VALUES (1, 1, 'x', 'one'), (2, 2, 'x', 'two')",
    )  # fmt: skip
    options = {**SECTIONS, "key": "slug", "child_references": "num"}
    del options["child_title"]
    captured = first_read(database, **options)
    assert captured.texts() == {"a": "one", "b": "two"}
    database.execute("UPDATE docs SET num = 3 WHERE slug = 'a'", "UPDATE parts SET page = 3 WHERE page = 1")
    captured.catch_up(database.source(**options))
    assert [commit.position for commit in captured.commits] == sorted(c.position for c in captured.commits)
    assert captured.texts() == {"a": "one", "b": "two"}


def test_an_unchanged_large_section_is_kept(pages):
    captured = first_read(pages, **SECTIONS)
    pages.execute(f"UPDATE parts SET text = {LARGE} WHERE place = 2")
    pages.execute(
        "UPDATE parts SET head = 'renamed' WHERE place = 2", "UPDATE parts SET page = 2 WHERE place = 2"
    )
    captured.catch_up(pages.source(**SECTIONS))
    assert [len(captured.texts()[key]) > 9600 for key in ("1", "2")] == [False, True]


def test_a_row_that_was_not_kept_begins_an_epoch(docs):
    captured = first_read(docs)
    captured.rows.kept.clear()
    docs.execute("INSERT INTO docs VALUES (3, '', 'fine')", "DELETE FROM docs WHERE id = 1")
    captured.catch_up(docs.source())
    assert [commit.snapshot for commit in captured.commits] == [True, False, True]
    assert captured.texts() == table(docs)


def test_a_tenant_s_label_comes_from_its_column(database):
    database.execute("CREATE TABLE docs (id int PRIMARY KEY, body text, tenant text)")
    database.execute(
        f"INSERT INTO docs VALUES (1, {LARGE}, 'acme'), (2, 'b', NULL), (3, 'c', repeat('l', 99))"
    )
    captured = first_read(database, tenant_column="tenant")
    labels = [captured.documents[key].tenant for key in ("1", "2", "3")]
    assert labels[:2] == ["acme", ""]
    assert len(labels[2] or "") < 60
    database.execute("UPDATE docs SET tenant = 'beta' WHERE id = 1")
    captured.catch_up(database.source(tenant_column="tenant"))
    moved = captured.documents["1"]
    assert isinstance(moved, Upsert)
    assert (moved.tenant, len(moved.content)) == ("beta", 9601)
