"""What holds for every kind of source, tried on all of them."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import ClassVar, Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.errors import SourceError, SourceUnavailable
from pipelines.sources.kinds import open_source, prepare_source
from pipelines.sources.source import Source
from tests.support.captured import Captured, snapshot, utc_now
from tests.support.git_repository import GitRepository
from tests.support.logical_postgres import Database


class Place(Protocol):
    """Somewhere documents live: `set` makes these texts, by key, the whole state in one transaction."""

    def set(self, texts: dict[str, str]) -> None: ...
    def vanish(self) -> None: ...
    def source(self) -> Source: ...


class Folder:
    def __init__(self, home: Path) -> None:
        self.root = home / "documents"
        self.root.mkdir()

    def set(self, texts: dict[str, str]) -> None:
        for path in self.root.iterdir():
            if path.name not in texts:
                path.unlink()
        for name, text in texts.items():
            if not (self.root / name).exists() or (self.root / name).read_text() != text:
                (self.root / name).write_text(text)

    def vanish(self) -> None:
        shutil.rmtree(self.root)

    def source(self) -> Source:
        return open_source("folder", str(self.root), {}, utc_now, self.root)


class Git:
    def __init__(self, home: Path) -> None:
        self.repository = GitRepository(home / "documents.git")
        self.head: tuple[str, ...] = ()
        self.set({})

    def set(self, texts: dict[str, str]) -> None:
        files = {name.encode(): text.encode() for name, text in texts.items()}
        self.head = (self.repository.commit({b"README": b"-", **files}, self.head),)

    def vanish(self) -> None:
        shutil.rmtree(self.repository.path)

    def source(self) -> Source:
        return open_source("git", str(self.repository.path), {}, utc_now, self.repository.path)


class Sqlite:
    options: ClassVar = {"table": "notes", "key": "name", "body": "text"}

    def __init__(self, home: Path) -> None:
        self.path = home / "documents.db"
        with closing(self._connected()) as database:
            database.execute("CREATE TABLE notes (name TEXT PRIMARY KEY NOT NULL, text TEXT)")
        prepare_source("sqlite", str(self.path), self.options, utc_now, home)

    def _connected(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path)

    def set(self, texts: dict[str, str]) -> None:
        with closing(self._connected()) as database, database:
            for (name,) in database.execute("SELECT name FROM notes").fetchall():
                if name not in texts:
                    database.execute("DELETE FROM notes WHERE name = ?", (name,))
            upsert = "INSERT INTO notes VALUES (?, ?) ON CONFLICT DO UPDATE SET text = excluded.text"
            database.executemany(upsert, texts.items())

    def vanish(self) -> None:
        self.path.unlink()

    def source(self) -> Source:
        return open_source("sqlite", str(self.path), self.options, utc_now, self.path)


class Postgres:
    options: ClassVar = {"table": "notes", "key": "name", "body": "text"}

    def __init__(self, database: Database) -> None:
        self.database = database
        self.database.execute("CREATE TABLE notes (name text PRIMARY KEY, text text)")
        prepare_source("postgres", database.url, self.options, utc_now, Path("unused"))

    def set(self, texts: dict[str, str]) -> None:
        upsert = (
            "INSERT INTO notes VALUES (%(name)s, %(text)s) ON CONFLICT (name) DO UPDATE SET text = excluded.text "
            "WHERE notes.text != excluded.text"
        )
        with self.database.connection.transaction():
            self.database.execute("DELETE FROM notes WHERE name != ALL(%(names)s)", names=list(texts))
            for name, text in texts.items():
                self.database.execute(upsert, name=name, text=text)

    def vanish(self) -> None:
        self.database.hide()

    def source(self) -> Source:
        return open_source("postgres", self.database.url, self.options, utc_now, Path("unused"))


PLACES: dict[str, Callable[[Path], Place]] = {"folder": Folder, "git": Git, "sqlite": Sqlite}
KINDS = [*PLACES, "postgres"]


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return opened(request.param, tmp_path, request)


def opened(kind: str, home: Path, request: pytest.FixtureRequest) -> Place:
    if kind == "postgres":
        return Postgres(request.getfixturevalue("database"))
    return PLACES[kind](home)


def test_the_first_read_is_one_snapshot(place):
    place.set({"a.md": "one", "b.md": "two"})
    captured = snapshot(place.source())
    assert captured.texts() == {"a.md": "one", "b.md": "two"}


def test_an_empty_place_is_an_empty_snapshot(place):
    assert snapshot(place.source()).documents == {}


def test_probing_tells_position_and_count_and_captures_nothing(place):
    place.set({"a.md": "one", "b.md": "two"})
    source = place.source()
    probe = source.probe()
    assert probe.documents == 2
    assert probe.consistency == source.consistency
    captured = snapshot(source)
    assert captured.cursor is not None
    if isinstance(place, Postgres):  # making a slot is written into the log itself
        assert probe.position <= captured.cursor.position <= source.probe().position
    else:
        assert captured.cursor.position == probe.position == source.probe().position


def test_nothing_new_is_no_commit(place):
    place.set({"a.md": "one"})
    captured = snapshot(place.source())
    assert captured.catch_up(place.source()) == 0
    assert captured.catch_up(place.source()) == 0


def test_changes_are_net_and_only_what_changed(place):
    place.set({"a.md": "one", "b.md": "two", "c.md": "three"})
    captured = snapshot(place.source())
    place.set({"a.md": "one", "b.md": "2", "d.md": "four"})
    assert captured.catch_up(place.source()) == 1
    assert captured.texts() == {"a.md": "one", "b.md": "2", "d.md": "four"}
    assert {change.key for change in captured.changes[-1]} == {"b.md", "c.md", "d.md"}
    assert not captured.commits[-1].snapshot


def test_a_rename_is_a_deletion_and_an_upsert_in_one_commit(place):
    place.set({"a.md": "one"})
    captured = snapshot(place.source())
    place.set({"b.md": "one"})
    assert captured.catch_up(place.source()) == 1
    assert {type(change).__name__ + change.key for change in captured.changes[-1]} == {
        "Deletea.md",
        "Upsertb.md",
    }


def test_a_document_can_leave_and_return(place):
    place.set({"a.md": "one"})
    captured = snapshot(place.source())
    for texts in ({}, {"a.md": "one"}, {}, {"a.md": "one"}):
        place.set(texts)
        assert captured.catch_up(place.source()) == 1
        assert captured.texts() == texts
    positions = [commit.position for commit in captured.commits]
    assert len(set(positions)) == len(positions)


def test_reading_again_from_one_cursor_gives_the_same_commits(place):
    place.set({"a.md": "one"})
    captured = snapshot(place.source())
    place.set({"a.md": "uno", "b.md": "two"})
    once = [
        (c.position, c.committed_at, list(c.changes)) for c in place.source().read(captured.cursor, captured)
    ]
    again = [
        (c.position, c.committed_at, list(c.changes)) for c in place.source().read(captured.cursor, captured)
    ]
    assert once == again
    assert len(once) == 1


@pytest.mark.parametrize("first", [True, False])
def test_a_vanished_source_is_unavailable_and_deletes_nothing(place, first):
    place.set({"a.md": "one"})
    captured = Captured() if first else snapshot(place.source())
    source = place.source()
    place.vanish()
    for opened in (source, place.source()):
        with pytest.raises(SourceUnavailable):
            captured.catch_up(opened)
        with pytest.raises(SourceUnavailable):
            opened.probe()
    assert captured.texts() == ({} if first else {"a.md": "one"})


def test_a_position_of_something_else_is_refused(place):
    captured = snapshot(place.source())
    assert captured.cursor is not None
    cursor = type(captured.cursor)("no such place", captured.cursor.state)
    place.set({"a.md": "one"})
    with pytest.raises(SourceError, match="not a position"):
        list(place.source().read(cursor, captured))


def test_a_large_document_and_odd_names_survive(place):
    texts = {"ä ü.md": "x" * 3_000_000, "a%20#?&.txt": "y", "'quoted\".md": "z"}
    place.set(texts)
    captured = snapshot(place.source())
    assert captured.texts() == texts
    place.set({})
    captured.catch_up(place.source())
    assert captured.texts() == {}


def emptied(request: pytest.FixtureRequest) -> Place:
    """The one database of the test, as if it were fresh."""
    database = request.getfixturevalue("database")
    database.execute("DROP TABLE IF EXISTS notes")
    database.dispose(**Postgres.options)
    return Postgres(database)


NAMES = st.sampled_from(["a.md", "b.md", "c.txt", "d.rst"])
STATES = st.lists(st.dictionaries(NAMES, st.sampled_from(["one", "two", "six"]), max_size=4), max_size=6)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(states=STATES, reads=st.lists(st.booleans(), min_size=6, max_size=6))
def test_following_equals_a_fresh_snapshot(kind, states, reads, tmp_path_factory, request):
    place = opened(kind, tmp_path_factory.mktemp(kind), request) if kind in PLACES else emptied(request)
    captured = snapshot(place.source())
    for texts, read in zip(states, reads, strict=False):
        place.set(texts)
        if read:
            captured.catch_up(place.source())
            assert captured.texts() == texts
    captured.catch_up(place.source())
    assert captured.documents == snapshot(place.source()).documents
