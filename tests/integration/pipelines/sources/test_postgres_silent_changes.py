"""What the log does not tell, or not at this moment: never taken for the table's state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from pipelines.errors import SchemaDrift, SourceUnavailable
from pipelines.sources.postgres import postgres_source, slot, snapshot
from pipelines.sources.postgres.slot import ExportedSnapshot
from pipelines.sources.source import Upsert
from tests.support.postgres_documents import DOCS, PARTS, ROWS, SECTIONS, epochs, first_read, table

# What changes rows, or what they are called by, and leaves no word in the log.

SILENT = {
    "other numbers in the identity": ("ALTER TABLE docs ALTER id TYPE bigint USING 4 - id",),
    "an index of the identity that was away": (
        "ALTER TABLE docs REPLICA IDENTITY FULL",
        "ALTER TABLE docs DROP CONSTRAINT docs_pkey",
        "INSERT INTO docs VALUES (1, 'twin', 't', 'alike for a while')",
        "DELETE FROM docs WHERE slug = 'a'",
        "ALTER TABLE docs ADD PRIMARY KEY (id)",
        "ALTER TABLE docs REPLICA IDENTITY DEFAULT",
    ),
    "a replica identity that was another": (
        "CREATE UNIQUE INDEX chosen ON docs (slug)",
        "ALTER TABLE docs REPLICA IDENTITY USING INDEX chosen",
        "UPDATE docs SET slug = 'moved' WHERE id = 1",
        "DELETE FROM docs WHERE id = 2",
        "ALTER TABLE docs REPLICA IDENTITY DEFAULT",
    ),
}  # fmt: skip


@pytest.mark.parametrize("statements", SILENT.values(), ids=SILENT)
def test_an_identity_that_stands_for_other_rows_begins_an_epoch(database, statements):
    database.execute(DOCS, ROWS)
    captured = first_read(database, key="slug")
    database.execute(*statements, "UPDATE docs SET body = body || '!' WHERE id = 3")
    captured.catch_up(database.source(key="slug"))
    assert captured.texts() == table(database, "slug, body")
    assert epochs(captured) == 2


def test_maintenance_begins_no_epoch(database):
    database.execute(DOCS, ROWS)
    captured = first_read(database)
    database.execute(
        "REINDEX TABLE CONCURRENTLY docs", "VACUUM FULL docs", "CREATE INDEX ON docs (title)", "ANALYZE docs"
    )
    database.execute("UPDATE docs SET body = 'on' WHERE id = 1")
    captured.catch_up(database.source())
    assert captured.texts() == table(database)
    assert epochs(captured) == 1


@pytest.mark.parametrize("column", ["mood", "glad", "mood[]", "pair"])
def test_an_enum_s_value_that_is_renamed_begins_an_epoch(database, column):
    database.execute(
        "CREATE TYPE mood AS ENUM ('x', 'y')", "CREATE DOMAIN glad AS mood", "CREATE TYPE pair AS (a mood, b int)",
        f"CREATE TABLE docs (id int PRIMARY KEY, mood {column}, body text)",
    )  # fmt: skip
    value = {"mood[]": "{x,y}", "pair": "(x,1)"}.get(column, "x")
    database.execute(f"INSERT INTO docs VALUES (1, '{value}', '')")
    captured = first_read(database, title="mood")
    database.execute("ALTER TYPE mood RENAME VALUE 'x' TO 'z'")
    captured.catch_up(database.source(title="mood"))
    (document,) = captured.documents.values()
    assert isinstance(document, Upsert)
    assert document.title == value.replace("x", "z")


@pytest.mark.parametrize(
    ("publication", "away", "name", "back"),
    [
        ("FOR ALL TABLES", "ALTER TABLE docs SET UNLOGGED", "docs", "ALTER TABLE docs SET LOGGED"),
        (
            "FOR TABLES IN SCHEMA public",
            "ALTER TABLE docs SET SCHEMA aside",
            "aside.docs",
            "ALTER TABLE aside.docs SET SCHEMA public",
        ),
    ],
)
def test_what_happened_while_a_publication_did_not_cover_the_table_is_not_lost(
    database, publication, away, name, back
):
    database.execute(DOCS, ROWS, "CREATE SCHEMA aside", f"CREATE PUBLICATION theirs {publication}")
    captured = first_read(database, publication="theirs")
    database.execute(
        away, f"DELETE FROM {name} WHERE id = 1", f"UPDATE {name} SET body = 'x' WHERE id = 2", back
    )
    captured.catch_up(database.source(publication="theirs"))
    assert captured.texts() == table(database)


def test_half_a_transaction_is_never_captured(database):
    database.execute(DOCS, ROWS, "CREATE PUBLICATION theirs FOR TABLE docs")
    captured = first_read(database, publication="theirs")
    before = table(database)
    database.execute("ALTER PUBLICATION theirs SET (publish = 'insert')")
    database.transaction("DELETE FROM docs WHERE id = 1", "INSERT INTO docs VALUES (4, 'd', '', 'four')")
    with pytest.raises(SchemaDrift, match="leaves out some kinds of changes"):
        captured.catch_up(database.source(publication="theirs"))
    assert captured.texts() == before, "the log gives the insertion without the deletion"
    database.execute("ALTER PUBLICATION theirs SET (publish = 'insert, update, delete, truncate')")
    captured.catch_up(database.source(publication="theirs"))
    assert captured.texts() == table(database)


@pytest.mark.parametrize(
    ("altered", "error"),
    [
        ("ALTER TABLE docs DROP COLUMN title", "no column 'title'"),
        ("DROP TABLE parts", "no table 'parts'"),
    ],
)
def test_pages_are_never_composed_of_what_is_no_more(database, altered, error):
    database.execute(DOCS, PARTS, ROWS, "INSERT INTO parts (page, place, text) VALUES (1, 1, 'part')")
    database.execute("CREATE PUBLICATION theirs FOR ALL TABLES")
    options = {**SECTIONS, "body": "body", "title": "title", "publication": "theirs"}
    captured = first_read(database, **options)
    before = dict(captured.documents)
    written = "parts SET text = 'new'" if "docs" in altered else "docs SET body = 'new'"
    database.execute(altered, f"UPDATE {written}")
    with pytest.raises(SchemaDrift, match=error):
        captured.catch_up(database.source(**options))
    assert captured.documents == before


def test_a_type_that_changed_before_its_column_went_stops_capture_there(database):
    database.execute(DOCS, ROWS)
    captured = first_read(database, title="title")
    database.execute("UPDATE docs SET title = 'before' WHERE id = 1")
    database.execute(
        "ALTER TABLE docs ALTER title TYPE int USING 7", "UPDATE docs SET title = 8 WHERE id = 2"
    )
    database.execute("ALTER TABLE docs RENAME title TO heading")
    with pytest.raises(SchemaDrift, match="no column 'title'"):
        captured.catch_up(database.source(title="title"))
    titles = {key: d.title for key, d in captured.documents.items() if isinstance(d, Upsert)}
    assert titles == {"1": "before", "2": "u", "3": "v"}


def test_a_table_of_another_schema_is_never_taken_for_the_one_that_was_followed(database):
    """Where each tenant has a schema, the other table is another tenant's."""
    database.execute(DOCS, ROWS, "CREATE SCHEMA other", DOCS.replace("docs", "other.docs"))
    database.execute(
        "INSERT INTO other.docs VALUES (9, 's', '', 'secret')", "CREATE PUBLICATION theirs FOR ALL TABLES"
    )
    captured = first_read(database, publication="theirs")
    before = captured.texts()
    database.execute(f"ALTER DATABASE {database.name} SET search_path = other, public")
    for _ in range(2):
        with pytest.raises(
            SchemaDrift, match=r"was that of schema public and is that of schema other.*=public\.docs"
        ):
            captured.catch_up(database.source(publication="theirs"))
        assert captured.texts() == before
        for name in database.slots():  # without it the next look would be a snapshot
            slot.drop(database.connection, name)
    database.execute("DELETE FROM public.docs WHERE id = 1")
    captured.catch_up(database.source(publication="theirs", table="public.docs"))
    assert captured.texts() == table(database, name="public.docs")
    moved = "DROP TABLE other.docs", "ALTER TABLE public.docs SET SCHEMA other"
    database.execute(*moved, "INSERT INTO other.docs VALUES (7, 'x', '', 'moved')")
    captured.catch_up(database.source(publication="theirs", table="other.docs"))
    assert captured.texts() == table(database, name="other.docs")


# Moments.


@pytest.mark.parametrize(
    "statements",
    [
        ("ALTER TABLE docs ALTER title TYPE int USING length(title)",),
        ("TRUNCATE docs", "INSERT INTO docs VALUES (9, 'i', '', 'nine')"),
        ("ALTER TABLE docs DROP COLUMN body", "ALTER TABLE docs ADD COLUMN body text DEFAULT 'reset'"),
    ],
)  # fmt: skip
def test_a_table_that_is_rewritten_while_its_snapshot_begins_is_not_empty(database, monkeypatch, statements):
    database.execute(DOCS, ROWS)
    captured = first_read(database)
    database.execute("ALTER TABLE docs ALTER body SET NOT NULL")  # the next look is a snapshot
    real = snapshot.created

    @contextmanager
    def created(*arguments: object) -> Iterator[ExportedSnapshot]:
        with real(*arguments) as exported:
            database.execute(*statements)
            yield exported

    monkeypatch.setattr(snapshot, "created", created)
    with pytest.raises(SourceUnavailable, match="altered, rewritten or emptied just while"):
        captured.catch_up(database.source())
    assert set(captured.texts()) == {"1", "2", "3"}
    monkeypatch.setattr(snapshot, "created", real)
    captured.catch_up(database.source())
    assert captured.texts() == table(database)


def test_what_somebody_else_takes_from_the_slot_during_a_look_is_not_lost(database, monkeypatch):
    database.execute(DOCS, ROWS)
    captured = first_read(database)
    database.execute("UPDATE docs SET body = 'taken' WHERE id = 1")
    (name,), real = database.slots(), slot.peek

    def peek(connection, slot_name, publication, upto):
        database.query(f"SELECT pg_replication_slot_advance('{name}', pg_current_wal_lsn())::text")
        database.execute("UPDATE docs SET body = 'after' WHERE id = 2")
        return real(connection, slot_name, publication, upto + 2**20)

    monkeypatch.setattr(slot, "peek", peek)
    with pytest.raises(SourceUnavailable, match="read by something else during this look"):
        captured.catch_up(database.source())
    monkeypatch.setattr(slot, "peek", real)
    captured.catch_up(database.source())
    assert captured.commits[-1].snapshot
    assert "read by something else" in captured.commits[-1].state["epoch"]
    assert captured.texts() == table(database)


def test_unrelated_traffic_is_acknowledged_window_by_window(database, monkeypatch):
    """Else each window would decode all those before it again."""
    database.execute(DOCS, ROWS, "CREATE TABLE busy (filler text)")
    for name, size in {"WINDOW_BYTES": 2**17, "IDLE_BYTES": 2**16, "ACKNOWLEDGE_BYTES": 1}.items():
        monkeypatch.setattr(postgres_source, name, size)
    captured = first_read(database)
    with database.server.connected(database.name) as other:
        other.execute("BEGIN")
        other.execute("UPDATE docs SET body = 'open over several windows' WHERE id = 1")
        for number in range(4):
            database.execute("INSERT INTO busy SELECT repeat('z', 500) FROM generate_series(1, 400)")
            database.execute(f"UPDATE docs SET body = '{number}' WHERE id = 2")
        other.execute("COMMIT")
    looked: list[int] = []
    real = slot.advance
    monkeypatch.setattr(slot, "advance", lambda c, name, at: (looked.append(at), real(c, name, at)))
    captured.catch_up(database.source())
    assert captured.texts() == table(database)
    assert sum(not changes for changes in captured.changes) >= 4
    assert len(looked) == len(captured.commits) - 1
    assert epochs(captured) == 1


@pytest.mark.parametrize("drift", [False, True])
def test_what_an_older_version_captured_begins_a_new_epoch(database, drift):
    """Its positions say less, or other things: they are not read as if they said nothing had changed."""
    database.execute(DOCS, ROWS)
    captured = first_read(database)
    assert captured.cursor is not None
    state = {name: value for name, value in captured.cursor.state.items() if name != "version"}
    state["layout"]["page"].pop("declared")
    captured.cursor = replace(captured.cursor, state=state)
    database.execute("UPDATE docs SET body = 'meanwhile' WHERE id = 1")
    if drift:
        database.execute("ALTER TABLE docs DROP COLUMN body")
        with pytest.raises(SchemaDrift):
            captured.catch_up(database.source())
        return
    captured.catch_up(database.source())
    assert epochs(captured) == 2
    assert captured.texts() == table(database)
