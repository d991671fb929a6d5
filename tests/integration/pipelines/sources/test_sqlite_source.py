from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.errors import SourceError, SourceUnavailable
from pipelines.sources.kinds import prepare_source
from pipelines.sources.options import SqliteOptions, validated
from pipelines.sources.sqlite import database as sqlite_database
from pipelines.sources.sqlite.rows import Rows
from pipelines.sources.sqlite.sqlite_source import SqliteSource, database_path
from tests.support.captured import Captured, snapshot, utc_now

OPTIONS = {"table": "notes", "key": "name", "body": "text"}
LOG = "_holdfast_changelog"


class Clock:
    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


class Database:
    """A file with a table `notes`, written by a connection that knows nothing of us."""

    def __init__(self, path: Path, columns: str = "name TEXT PRIMARY KEY NOT NULL, text TEXT") -> None:
        self.path, self.clock = path, Clock()
        self.writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.writer.execute(f"CREATE TABLE notes ({columns})")

    def run(self, *statements: str) -> None:
        self.writer.execute("BEGIN")
        for statement in statements:
            self.writer.execute(statement)
        self.writer.execute("COMMIT")

    def log(self) -> list[tuple[object, ...]]:
        return self.writer.execute(f"SELECT key, op FROM {LOG} ORDER BY id").fetchall()

    def prepare(self, **options: str) -> None:
        prepare_source("sqlite", str(self.path), {**OPTIONS, **options}, self.clock, self.path.parent)

    def source(self, **options: str) -> SqliteSource:
        return SqliteSource(self.path, validated(SqliteOptions, "sqlite", {**OPTIONS, **options}), self.clock)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Database]]:
    made: list[Database] = []

    def create(*columns: str) -> Database:
        made.append(Database(tmp_path / f"{len(made)}.db", *columns))
        return made[-1]

    yield create
    for database in made:
        database.writer.close()


@pytest.fixture
def database(make) -> Database:
    database = make()
    database.prepare()
    return database


def test_many_changes_of_a_row_are_one_net_change(database):
    database.run("INSERT INTO notes VALUES ('a', '1'), ('b', '1'), ('same', 'x')")
    captured = snapshot(database.source())
    database.run("UPDATE notes SET text = '2' WHERE name = 'a'")
    database.run("UPDATE notes SET text = '3' WHERE name = 'a'", "DELETE FROM notes WHERE name = 'b'")
    database.run("INSERT INTO notes VALUES ('new', '1')", "DELETE FROM notes WHERE name = 'new'")
    database.run("DELETE FROM notes WHERE name = 'same'", "INSERT INTO notes VALUES ('same', 'x')")
    assert captured.catch_up(database.source()) == 1
    assert {change.key for change in captured.changes[-1]} == {"a", "b"}
    assert captured.texts() == {"a": "3", "same": "x"}


def test_a_transaction_that_is_rolled_back_never_was(database):
    captured = snapshot(database.source())
    database.writer.execute("BEGIN")
    database.writer.execute("INSERT INTO notes VALUES ('a', '1')")
    database.writer.execute("ROLLBACK")
    assert captured.catch_up(database.source()) == 0


def test_a_key_update_is_a_rename(database):
    database.run("INSERT INTO notes VALUES ('a', '1')")
    captured = snapshot(database.source())
    database.run("UPDATE notes SET name = 'A'")
    assert captured.catch_up(database.source()) == 1
    assert captured.texts() == {"A": "1"}
    database.run("INSERT INTO notes VALUES ('b', '2')")
    database.run(
        "UPDATE notes SET name = 'x' WHERE name = 'A'", "UPDATE notes SET name = 'A' WHERE name = 'b'"
    )
    captured.catch_up(database.source())
    assert captured.texts() == {"x": "1", "A": "2"}


def test_key_updates_that_differ_in_case_only_under_a_nocase_collation(make):
    database = make("name TEXT PRIMARY KEY NOT NULL COLLATE NOCASE, text TEXT")
    database.prepare()
    database.run("INSERT INTO notes VALUES ('a', '1')")
    captured = snapshot(database.source())
    database.run("UPDATE notes SET name = 'A'")
    captured.catch_up(database.source())
    assert captured.texts() == {"A": "1"}


def test_the_time_is_that_of_the_newest_logged_change(database):
    database.run("INSERT INTO notes VALUES ('a', '1')")
    at = datetime.fromisoformat(database.writer.execute(f"SELECT max(at) FROM {LOG}").fetchone()[0])
    database.clock.ahead = timedelta(minutes=5)
    captured = snapshot(database.source())
    assert captured.commits[0].committed_at == at
    database.run("INSERT INTO notes VALUES ('b', '1')")
    database.run(f"UPDATE {LOG} SET at = '2999-01-01T00:00:00.000Z' WHERE key = 'b'")
    captured.catch_up(database.source())
    assert utc_now() < captured.commits[1].committed_at <= database.clock()


# The changelog


def test_acknowledging_prunes_but_keeps_the_position_recognisable(database):
    database.run("INSERT INTO notes VALUES ('a', '1'), ('b', '1')")
    captured = Captured()
    captured.catch_up(database.source())
    assert database.log() == [("b", "insert")]
    assert captured.catch_up(database.source()) == 0
    database.run("DELETE FROM notes WHERE name = 'a'")
    assert captured.catch_up(database.source()) == 1
    assert not captured.commits[-1].snapshot
    assert captured.texts() == {"b": "1"}


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_acknowledging_while_reading_is_not_in_our_own_way(make, monkeypatch, journal):
    monkeypatch.setattr(sqlite_database, "BUSY_SECONDS", 0.0)
    database = make()
    database.writer.execute(f"PRAGMA journal_mode={journal}")
    database.prepare()
    database.run("INSERT INTO notes VALUES ('a', '1'), ('b', '1')")
    source, captured = database.source(), Captured()
    for commit in source.read(None, captured):
        captured.apply(commit)
        source.acknowledge(commit.position)
    assert len(database.log()) == 1
    # Nor when the commit was known already and its changes were left unread.
    for commit in source.read(None, captured):
        source.acknowledge(commit.position)


def test_two_tables_share_a_changelog(database):
    database.run("CREATE TABLE other (id INTEGER PRIMARY KEY, text TEXT)")
    other = {"table": "other", "key": "id"}
    database.prepare(**other)
    database.run("INSERT INTO notes VALUES ('a', '1')", "INSERT INTO other VALUES (7, 'x')")
    one, two = snapshot(database.source()), snapshot(database.source(**other))
    database.run("INSERT INTO notes VALUES ('b', '2')", "UPDATE other SET text = 'y'")
    assert one.catch_up(database.source()) == two.catch_up(database.source(**other)) == 1
    assert one.texts() == {"a": "1", "b": "2"}
    assert two.texts() == {"7": "y"}
    assert not two.commits[-1].snapshot


def test_two_readers_of_a_table_lose_nothing(database):
    one, two = snapshot(database.source()), snapshot(database.source())
    database.run("INSERT INTO notes VALUES ('a', '1')")
    one.catch_up(database.source())
    database.run("DELETE FROM notes")
    one.catch_up(database.source())
    two.catch_up(database.source())
    assert one.documents == two.documents == {}


LOSSES = {
    "pruned past the cursor": [f"DELETE FROM {LOG} WHERE id < (SELECT max(id) FROM {LOG})"],
    "emptied": [f"DELETE FROM {LOG}"],
    "truncated": [f"DELETE FROM {LOG} WHERE id > 1"],
    "restarted": [f"DELETE FROM {LOG}", "DELETE FROM sqlite_sequence"],
    "rewritten": [f"UPDATE {LOG} SET at = '2020-01-01T00:00:00.000Z'"],
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("writes", [0, 1, 9])
def test_a_changelog_that_does_not_continue_gives_a_snapshot(database, loss, writes):
    database.run("INSERT INTO notes VALUES ('a', '1'), ('gone', '1')")
    captured = snapshot(database.source())
    database.run("DELETE FROM notes WHERE name = 'gone'", *LOSSES[loss])
    for number in range(writes):
        database.run(f"INSERT INTO notes VALUES ('n{number}', 'x')")
    assert captured.catch_up(database.source()) == 1
    assert captured.commits[-1].snapshot
    assert set(captured.texts()) == {"a"} | {f"n{number}" for number in range(writes)}
    assert captured.catch_up(database.source()) == 0
    database.run("INSERT INTO notes VALUES ('after', 'x')")
    assert captured.catch_up(database.source()) == 1
    assert not captured.commits[-1].snapshot
    assert "after" in captured.texts()


def test_a_database_restored_from_a_backup_gives_a_snapshot(database, tmp_path):
    database.run("INSERT INTO notes VALUES ('a', '1')")
    backup = sqlite3.connect(tmp_path / "backup.db")
    database.writer.backup(backup)
    database.run("INSERT INTO notes VALUES ('lost', '1')", "INSERT INTO notes VALUES ('lost too', '1')")
    captured = snapshot(database.source())
    backup.backup(database.writer)
    backup.close()
    for number in range(5):  # the log grows past the cursor again
        database.run(f"INSERT INTO notes VALUES ('n{number}', 'x')")
    database.run(f"UPDATE {LOG} SET at = strftime('%Y-%m-%dT%H:%M:%fZ', at, '+1 second') WHERE id > 2")
    captured.catch_up(database.source())
    assert captured.commits[-1].snapshot
    assert set(captured.texts()) == {"a", "n0", "n1", "n2", "n3", "n4"}


@pytest.mark.parametrize("event", ["insert", "update", "delete"])
def test_a_lost_trigger_is_an_error_that_says_what_to_do(database, event):
    captured = snapshot(database.source())
    database.run(f"DROP TRIGGER _holdfast_notes_{event}", "INSERT INTO notes VALUES ('a', '1')")
    for _ in range(2):
        with pytest.raises(SourceError, match="holdfast source add") as caught:
            captured.catch_up(database.source())
        assert not isinstance(caught.value, SourceUnavailable)
    database.prepare()
    assert captured.catch_up(database.source()) == 1
    assert captured.commits[-1].snapshot, "what happened without the trigger is in no log"
    assert captured.texts() == {"a": "1"}


def test_a_lost_changelog_is_an_error(database):
    database.run(f"DROP TABLE {LOG}")
    with pytest.raises(SourceError, match="has lost"):
        snapshot(database.source())


def test_preparing_twice_changes_nothing(database):
    captured = snapshot(database.source())
    database.prepare()
    assert captured.catch_up(database.source()) == 0


def test_triggers_for_another_key_are_not_overwritten(database):
    with pytest.raises(SourceError, match="another key"):
        database.prepare(key="text")


def test_without_preparation_there_is_an_error(make):
    with pytest.raises(SourceError, match="lost"):
        make().source().probe()


def test_a_read_only_database_says_how_to_do_without_triggers(make, monkeypatch):
    database = make()
    database.writer.execute("BEGIN EXCLUSIVE")
    database.writer.execute("COMMIT")
    monkeypatch.setattr(sqlite_database, "BUSY_SECONDS", 0.0)
    database.writer.execute("BEGIN IMMEDIATE")
    with pytest.raises(SourceError, match="install=false"):
        database.prepare()
    database.writer.execute("ROLLBACK")


def test_the_writer_notices_nothing(database):
    cursor = database.writer.execute("INSERT INTO notes VALUES ('a', '1')")
    assert cursor.lastrowid == 1
    assert cursor.rowcount == 1


# The sweep


@pytest.mark.parametrize(
    ("columns", "statement"),
    [
        ("name TEXT PRIMARY KEY NOT NULL, text TEXT, slug TEXT UNIQUE", "('c', '3', 's')"),
        ("name TEXT UNIQUE NOT NULL, text TEXT, number INTEGER PRIMARY KEY", "('c', '3', 1)"),
        ("name TEXT PRIMARY KEY NOT NULL COLLATE NOCASE, text TEXT, slug TEXT", "('A', '3', 's')"),
    ],
)
def test_replace_over_another_unique_key_is_noticed_though_no_trigger_tells(make, columns, statement):
    database = make(columns)
    database.prepare()
    first, second = (1, 2) if "number" in columns else ("s", "t")
    database.writer.execute("INSERT INTO notes VALUES ('a', '1', ?)", (first,))
    database.writer.execute("INSERT INTO notes VALUES ('b', '2', ?)", (second,))
    captured = snapshot(database.source())
    database.run(f"INSERT OR REPLACE INTO notes VALUES {statement}")
    assert captured.catch_up(database.source()) == 1
    assert captured.documents == snapshot(database.source()).documents
    assert sorted(captured.texts().values()) == ["2", "3"]
    assert "~" not in captured.cursor.position, "it is one commit: the deletion and what replaced it"
    assert captured.catch_up(database.source()) == 0


def test_a_row_that_went_without_any_trace_is_found_by_the_sweep(make):
    database = make("name TEXT PRIMARY KEY NOT NULL, text TEXT, slug TEXT UNIQUE")
    database.prepare()
    database.run("INSERT INTO notes VALUES ('a', '1', 's')", "INSERT INTO notes VALUES ('b', '2', 't')")
    captured = snapshot(database.source())
    trigger = database.writer.execute(
        "SELECT sql FROM sqlite_master WHERE name = '_holdfast_notes_delete'"
    ).fetchone()[0]
    database.run("DROP TRIGGER _holdfast_notes_delete", "DELETE FROM notes WHERE name = 'a'", trigger)
    assert captured.catch_up(database.source()) == 0
    assert captured.texts() == {"a": "1", "b": "2"}, "no trigger tells that a is gone"
    database.clock.ahead = timedelta(hours=2)
    assert captured.catch_up(database.source()) == 1
    assert captured.texts() == {"b": "2"}
    assert [type(change).__name__ for change in captured.changes[-1]] == ["Delete"]
    assert captured.cursor.position == captured.commits[-2].position + "~1"
    assert captured.catch_up(database.source()) == 0


def test_what_the_changelog_explains_is_read_without_a_sweep(make, monkeypatch):
    database = make("name TEXT PRIMARY KEY NOT NULL, text TEXT, slug TEXT UNIQUE")
    database.prepare()
    database.run("INSERT INTO notes VALUES ('a', '1', 's')", "INSERT INTO notes VALUES ('b', '2', 't')")
    captured = snapshot(database.source())
    monkeypatch.setattr(Rows, "differences", lambda *_: pytest.fail("all rows were compared"))
    database.run(
        "UPDATE notes SET name = 'z' WHERE name = 'a'", "REPLACE INTO notes VALUES ('b', '3', 't')",
        "INSERT INTO notes VALUES ('c', '4', 'u')", "DELETE FROM notes WHERE name = 'z'",
    )  # fmt: skip
    captured.catch_up(database.source())
    assert captured.texts() == {"b": "3", "c": "4"}


def test_replace_with_recursive_triggers_needs_no_sweep(make):
    database = make("name TEXT PRIMARY KEY NOT NULL, text TEXT, slug TEXT UNIQUE")
    database.prepare()
    database.writer.execute("PRAGMA recursive_triggers=ON")
    database.run("INSERT INTO notes VALUES ('a', '1', 's')")
    captured = snapshot(database.source())
    database.run("INSERT OR REPLACE INTO notes VALUES ('c', '3', 's')")
    captured.catch_up(database.source())
    assert captured.texts() == {"c": "3"}


def test_replace_on_the_key_itself_is_followed(database):
    database.run("INSERT INTO notes VALUES ('a', '1')")
    captured = snapshot(database.source())
    database.run("REPLACE INTO notes VALUES ('a', '2')")
    captured.catch_up(database.source())
    assert captured.texts() == {"a": "2"}


def test_a_sweep_that_finds_nothing_keeps_only_its_time(database):
    database.run("INSERT INTO notes VALUES ('a', '1')")
    captured = snapshot(database.source())
    position = captured.cursor.position
    database.clock.ahead = timedelta(hours=2)
    assert captured.catch_up(database.source()) == 1
    assert captured.cursor.position == position
    assert captured.changes[-1] == []
    assert captured.catch_up(database.source()) == 0


def test_sweeps_and_changes_take_turns(make):
    database = make()
    database.prepare()
    database.run("INSERT INTO notes VALUES ('a', '1')")
    captured = snapshot(database.source())
    trigger = database.writer.execute(
        "SELECT sql FROM sqlite_master WHERE name = '_holdfast_notes_update'"
    ).fetchone()[0]
    for text in ("2", "3"):
        database.run("DROP TRIGGER _holdfast_notes_update", f"UPDATE notes SET text = '{text}'", trigger)
        database.clock.ahead += timedelta(hours=2)
        captured.catch_up(database.source())
        assert captured.texts() == {"a": text}
    base = captured.commits[0].position
    assert [commit.position for commit in captured.commits] == [base, f"{base}~1", f"{base}~2"]
    database.run("UPDATE notes SET text = '4'")
    captured.catch_up(database.source())
    assert captured.cursor.position == str(int(base) + 1)
    assert captured.texts() == {"a": "4"}


def test_without_triggers_every_read_compares(make):
    database = make()
    database.prepare(install="false")
    database.run("INSERT INTO notes VALUES ('a', '1'), ('b', '1')")
    source = database.source(install="false")
    captured = snapshot(source)
    assert captured.catch_up(source) == 0
    database.run("UPDATE notes SET text = '2' WHERE name = 'a'", "DELETE FROM notes WHERE name = 'b'")
    assert captured.catch_up(source) == 1
    assert captured.texts() == {"a": "2"}
    assert captured.catch_up(source) == 0
    database.run("DELETE FROM notes")
    assert captured.catch_up(source) == 1
    assert [commit.position for commit in captured.commits] == ["0", "0~1", "0~2"]
    tables = database.writer.execute("SELECT name FROM sqlite_master").fetchall()
    assert not any("_holdfast" in name for (name,) in tables)
    assert "compares all rows" in source.probe().note


def test_a_view_can_be_swept(make):
    database = make()
    database.run("INSERT INTO notes VALUES ('a', '1'), ('b', '2')")
    database.run("CREATE VIEW shown AS SELECT * FROM notes WHERE text < '2'")
    with pytest.raises(SourceError, match="view"):
        database.prepare(table="shown")
    captured = snapshot(database.source(table="shown", install="false"))
    assert captured.texts() == {"a": "1"}


def test_installing_later_begins_anew(make):
    database = make()
    captured = snapshot(database.source(install="false"))
    database.prepare()
    database.run("INSERT INTO notes VALUES ('a', '1')")
    captured.catch_up(database.source())
    assert captured.texts() == {"a": "1"}
    assert captured.commits[-1].snapshot


# Rows


def test_columns_become_documents(make):
    database = make(
        "id INTEGER PRIMARY KEY, Body BLOB, head TEXT, link TEXT, year INT, raw BLOB, big REAL, org"
    )
    database.run(
        "INSERT INTO notes VALUES (1, 'é', 'T', 'https://x/1', 2001, x'00ff', 9e999, 'acme')",
        "INSERT INTO notes VALUES (2, x'6869', NULL, NULL, NULL, NULL, 1.5, NULL)",
        "INSERT INTO notes VALUES (3, NULL, 5, 7, 'x', 'y', 0, 8)",
    )
    options = {
        "table": "NOTES", "key": "ID", "body": "body", "title": "head", "url": "link",
        "metadata": "year,raw,big", "tenant_column": "org", "format": "html",
    }  # fmt: skip
    database.prepare(**options)
    captured = snapshot(database.source(**options))
    one, two, three = (captured.documents[key] for key in "123")
    assert (one.title, one.uri, one.content, one.tenant) == ("T", "https://x/1", "é".encode(), "acme")
    assert one.metadata == {"year": 2001, "raw": "00ff", "big": "inf"}
    assert (two.title, two.uri, two.content, two.tenant) == ("", "0.db/notes/2", b"hi", "")
    assert (three.title, three.uri, three.content, three.tenant) == ("5", "7", b"", "8")
    assert {document.media_type for document in captured.documents.values()} == {"text/html"}


@pytest.mark.parametrize("install", ["true", "false"])
def test_a_row_that_moves_to_another_tenant_is_an_upsert(make, install):
    database = make("name TEXT PRIMARY KEY NOT NULL, text TEXT, org TEXT")
    options = {"tenant_column": "org", "install": install}
    database.prepare(**options)
    database.run("INSERT INTO notes VALUES ('a', '1', 'acme'), ('b', '2', 'acme')")
    captured = snapshot(database.source(**options))
    database.run("UPDATE notes SET org = 'globex' WHERE name = 'a'")
    assert captured.catch_up(database.source(**options)) == 1
    assert [change.key for change in captured.changes[-1]] == ["a"]
    assert captured.documents["a"].tenant == "globex"


def test_tenant_labels_that_no_registry_stores_are_replaced(make):
    database = make("name TEXT PRIMARY KEY NOT NULL, text TEXT, org TEXT")
    database.run(f"INSERT INTO notes VALUES ('a', '1', '{'x' * 500}'), ('b', '1', cast(x'ff' AS TEXT))")
    captured = snapshot(database.source(tenant_column="org", install="false"))
    for document in captured.documents.values():
        assert len(document.tenant.encode()) < 80


def test_what_no_registry_stores_is_unreadable_and_can_leave(make):
    database = make("name TEXT PRIMARY KEY NOT NULL, text TEXT, head TEXT")
    database.prepare(title="head")
    database.run(
        "INSERT INTO notes VALUES ('a', cast(x'ff' AS TEXT), 'fine')",
        "INSERT INTO notes VALUES ('b', 'text', cast(x'ff' AS TEXT))",
        "INSERT INTO notes VALUES ('c', 'text', cast(x'610062' AS TEXT))",
        "INSERT INTO notes VALUES (cast(x'ff' AS TEXT), 'text', '')",
        f"INSERT INTO notes VALUES ('{'k' * 2000}', 'text', '')",
        "INSERT INTO notes VALUES ('', 'text', '')",
    )
    captured = snapshot(database.source(title="head"))
    assert captured.documents["a"].content == b"\xff"
    assert len(captured.flaws()) == 5
    database.run("UPDATE notes SET head = 'mended'")
    captured.catch_up(database.source(title="head"))
    assert len(captured.flaws()) == 3
    database.run("DELETE FROM notes")
    captured.catch_up(database.source(title="head"))
    assert captured.documents == {}


@pytest.mark.parametrize("install", ["true", "false"])
def test_rows_without_a_key_are_shown_and_can_leave(make, install):
    database = make("name TEXT PRIMARY KEY, text TEXT")  # SQLite allows NULL in such a key
    database.prepare(install=install)
    source = database.source(install=install)
    database.run("INSERT INTO notes VALUES (NULL, '1'), (NULL, '2'), ('a', '3')")
    captured = snapshot(source)
    assert captured.texts() == {"a": "3"}
    assert list(captured.flaws().values()) == ["2 rows have no key"]
    database.run("UPDATE notes SET name = 'b' WHERE text = '1'")
    captured.catch_up(source)
    assert captured.texts() == {"a": "3", "b": "1"}
    assert list(captured.flaws().values()) == ["1 rows have no key"]
    database.run("DELETE FROM notes WHERE name IS NULL")
    captured.catch_up(source)
    assert captured.flaws() == {}


@pytest.mark.parametrize(
    "columns", ["name TEXT, text TEXT", "name PRIMARY KEY, text TEXT", "name, text TEXT"]
)
def test_keys_that_several_rows_have_are_unreadable_until_they_are_unique(make, columns):
    database = make(columns)
    database.prepare()
    other = "'1'" if columns.startswith("name TEXT") else "1"  # two values of one text
    database.run("INSERT INTO notes VALUES ('1', 'x')", "INSERT INTO notes VALUES ('a', 'y')")
    captured = snapshot(database.source())
    database.run(f"INSERT INTO notes VALUES ({other}, 'z')")
    captured.catch_up(database.source())
    if "PRIMARY" not in columns:
        assert captured.flaws().keys() == {"1"}
    assert "1" in snapshot(database.source()).flaws()
    database.run("DELETE FROM notes WHERE text = 'x'")
    database.clock.ahead = timedelta(hours=2)
    captured.catch_up(database.source())
    assert captured.texts() == {"1": "z", "a": "y"}


# Mistakes


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"table": "missing"}, "no table 'missing'"),
        ({"key": "uid"}, "no column 'uid'; it has name, text"),
        ({"body": "b", "metadata": "text,c"}, "no column 'b', 'c'"),
        ({"tenant_column": "org"}, "no column 'org'"),
    ],
)
def test_what_is_not_there_is_named(make, options, said):
    for call in (make().prepare, lambda **options: make().source(**options).probe()):
        with pytest.raises(SourceError, match=said) as caught:
            call(**options)
        assert not isinstance(caught.value, SourceUnavailable)


def test_a_missing_database_is_unavailable_and_not_created(tmp_path):
    path = tmp_path / "missing.db"
    source = SqliteSource(path, validated(SqliteOptions, "sqlite", OPTIONS), utc_now)
    for call in (source.probe, source.prepare, lambda: snapshot(source), lambda: source.acknowledge("1")):
        with pytest.raises(SourceUnavailable):
            call()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_unavailable(tmp_path):
    path = tmp_path / "x.db"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(SourceUnavailable):
        SqliteSource(path, validated(SqliteOptions, "sqlite", OPTIONS), utc_now).probe()


def test_a_database_that_stays_locked_is_unavailable(database, monkeypatch):
    monkeypatch.setattr(sqlite_database, "BUSY_SECONDS", 0.0)
    captured = snapshot(database.source())
    database.writer.execute("BEGIN EXCLUSIVE")
    with pytest.raises(SourceUnavailable, match="locked"):
        captured.catch_up(database.source())
    database.writer.execute("ROLLBACK")


def test_names_that_need_quoting(make):
    database = make()
    database.run("""CREATE TABLE "odd ""'; name" ("the ""key" TEXT PRIMARY KEY NOT NULL, "select" TEXT)""")
    options = {"table": "odd \"'; name", "key": 'the "key', "body": "select"}
    database.prepare(**options)
    database.run("""INSERT INTO "odd ""'; name" VALUES ('a', '1')""")
    captured = snapshot(database.source(**options))
    database.run("""UPDATE "odd ""'; name" SET "select" = '2'""")
    captured.catch_up(database.source(**options))
    assert captured.texts() == {"a": "2"}


def test_changes_read_too_late_are_refused(database):
    database.run("INSERT INTO notes VALUES ('a', '1')")
    commits = list(database.source().read(None, Captured()))
    with pytest.raises(SourceError, match="must be read before the next"):
        list(commits[0].changes)


def test_addresses():
    assert database_path("sqlite:////a/b.db") == database_path("file:///a/b.db") == Path("/a/b.db")


# Others write meanwhile


def test_a_commit_is_one_state_while_a_writer_goes_on(make):
    """Each transaction keeps the sum of all rows at zero: no captured state may show another sum."""
    database = make("name TEXT PRIMARY KEY NOT NULL, text INTEGER")
    database.writer.execute("PRAGMA journal_mode=WAL")
    database.writer.execute("PRAGMA synchronous=OFF")
    database.prepare()
    database.run("INSERT INTO notes VALUES ('a', 0), ('b', 0)")
    stop = threading.Event()

    def write() -> None:
        step = 0
        while not stop.is_set() or step < 50:
            step += 1
            one, other = ("a", "b") if step % 2 else ("b", "a")
            database.run(
                f"UPDATE notes SET text = text + {step} WHERE name = '{one}'",
                f"UPDATE notes SET text = text - {step} WHERE name = '{other}'",
            )

    writer = threading.Thread(target=write)
    captured = Captured()
    writer.start()
    try:
        for _ in range(30):
            captured.catch_up(database.source())
            assert sum(map(int, captured.texts().values())) == 0
    finally:
        stop.set()
        writer.join()
    captured.catch_up(database.source())
    assert captured.documents == snapshot(database.source()).documents
    assert len(captured.commits) > 2


def test_a_write_during_the_reading_of_changes_is_in_the_next_commit(make):
    database = make()
    database.writer.execute("PRAGMA journal_mode=WAL")
    database.prepare()
    database.run(*(f"INSERT INTO notes VALUES ('n{number}', 'old')" for number in range(50)))
    captured = Captured()
    for commit in database.source().read(None, captured):
        changes = iter(commit.changes)
        first = next(changes)
        database.run("UPDATE notes SET text = 'new'")
        assert {change.content for change in [first, *changes]} == {b"old"}
    captured = snapshot(database.source())
    assert set(captured.texts().values()) == {"new"}
    database.run("UPDATE notes SET text = 'mid'")
    for commit in database.source().read(captured.cursor, captured):
        changes = iter(commit.changes)
        first = next(changes)
        database.run("UPDATE notes SET text = 'last'")
        assert {change.content for change in [first, *changes]} == {b"mid"}


KEYS = st.sampled_from(["a", "b", "c"])
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("REPLACE INTO notes VALUES (:k, :k || :o, :o)"), KEYS, KEYS),
        st.tuples(st.just("UPDATE OR REPLACE notes SET name = :o WHERE name = :k"), KEYS, KEYS),
        st.tuples(st.just("UPDATE OR IGNORE notes SET text = :o, slug = :o WHERE name = :k"), KEYS, KEYS),
        st.tuples(st.just("DELETE FROM notes WHERE name = :k"), KEYS, KEYS),
        st.tuples(st.just("read"), KEYS, KEYS),
        st.tuples(st.just("sweep"), KEYS, KEYS),
    ),
    max_size=14,
)


@pytest.mark.parametrize("recursive", ["ON", "OFF"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(actions=ACTIONS)
def test_any_statements_are_followed_and_swept(recursive, actions, tmp_path_factory):
    database = Database(
        tmp_path_factory.mktemp("any") / "x.db", "name TEXT PRIMARY KEY NOT NULL, text TEXT, slug TEXT UNIQUE"
    )
    database.writer.execute("PRAGMA synchronous=OFF")
    database.writer.execute(f"PRAGMA recursive_triggers={recursive}")
    database.prepare()
    captured = snapshot(database.source())
    for action, key, other in [*actions, ("sweep", "", "")]:
        if action not in ("read", "sweep"):
            database.writer.execute(action, {"k": key, "o": other})
            continue
        if action == "sweep":
            database.clock.ahead += timedelta(hours=2)
        captured.catch_up(database.source())
        if action in ("read", "sweep"):
            assert captured.documents == snapshot(database.source()).documents
    database.writer.close()
