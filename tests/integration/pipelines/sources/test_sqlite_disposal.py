"""What `source add` installs in somebody's SQLite database, `source remove` takes out again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pipelines.errors import SourceUnavailable
from pipelines.sources.kinds import dispose_source, prepare_source
from pipelines.sources.sqlite import database as sqlite_database
from tests.support.captured import utc_now

OPTIONS = {"key": "name", "body": "text"}


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "notes.db", isolation_level=None)) as connection:
        for table in ("notes", "Others"):
            connection.execute(f'CREATE TABLE "{table}" (name TEXT PRIMARY KEY NOT NULL, text TEXT)')
        yield connection


def prepare(path: Path, table: str, **more: str) -> None:
    prepare_source("sqlite", str(path / "notes.db"), {"table": table, **OPTIONS, **more}, utc_now, path)


def dispose(path: Path, table: str, **more: str) -> None:
    dispose_source("sqlite", str(path / "notes.db"), {"table": table, **OPTIONS, **more}, utc_now, path)


def schema(writer: sqlite3.Connection) -> set[str]:
    return {
        name for (name,) in writer.execute("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite%'")
    }


def test_nothing_of_ours_is_left(writer: sqlite3.Connection, tmp_path: Path) -> None:
    before = schema(writer)
    prepare(tmp_path, "notes")
    writer.execute("INSERT INTO notes VALUES ('a', 'x')")
    dispose(tmp_path, "notes")
    assert schema(writer) == before
    writer.execute("UPDATE notes SET text = 'y'")
    dispose(tmp_path, "notes")
    prepare(tmp_path, "notes")
    assert writer.execute("SELECT op FROM _holdfast_changelog").fetchall() == [("install",)]


def test_another_table_s_changes_are_logged_on(writer: sqlite3.Connection, tmp_path: Path) -> None:
    for table in ("notes", "others"):  # as people write it, whatever it was created as
        prepare(tmp_path, table)
    dispose(tmp_path, "others")
    writer.execute("INSERT INTO notes VALUES ('a', 'x')")
    writer.execute("INSERT INTO others VALUES ('b', 'x')")
    logged = writer.execute("SELECT table_name, op FROM _holdfast_changelog ORDER BY id").fetchall()
    assert logged == [("notes", "install"), ("notes", "insert")]
    dispose(tmp_path, "notes")
    assert schema(writer) == {"notes", "Others"}


def test_what_others_made_stays(writer: sqlite3.Connection, tmp_path: Path) -> None:
    prepare(tmp_path, "notes")
    writer.execute("CREATE TRIGGER _holdfast_like AFTER INSERT ON notes BEGIN SELECT 1; END")
    dispose(tmp_path, "notes", install="false")
    assert "_holdfast_changelog" in schema(writer)
    dispose(tmp_path, "notes")
    assert schema(writer) == {"notes", "Others", "_holdfast_like"}


def test_a_database_that_went_needs_nothing(tmp_path: Path) -> None:
    dispose(tmp_path, "notes")
    assert list(tmp_path.iterdir()) == []


def test_one_that_is_locked_is_said(
    writer: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path, "notes")
    monkeypatch.setattr(sqlite_database, "BUSY_SECONDS", 0.0)
    writer.execute("BEGIN IMMEDIATE")
    with pytest.raises(SourceUnavailable, match="locked"):
        dispose(tmp_path, "notes")
