"""Documents in the rows of an SQLite table: one read transaction is one commit."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pipelines.errors import SourceError, SourceUnavailable
from pipelines.sources.commit_time import from_iso, last_time, settle
from pipelines.sources.options import SqliteOptions
from pipelines.sources.source import Change, Commit, Consistency, Cursor, Heads, Probe
from pipelines.sources.sqlite.changelog import Changelog, Entry, uninstall
from pipelines.sources.sqlite.database import reading, unavailable, writing
from pipelines.sources.sqlite.mapping import Mapping as Table
from pipelines.sources.sqlite.mapping import describe
from pipelines.sources.sqlite.rows import Rows

_POSITION = re.compile(r"(\d+)(?:~(\d+))?")
_EMPTY_LOG = Entry(0, "")  # triggers but no row: someone emptied it
_UNLOGGED = Entry(0, "unlogged")


@dataclass(frozen=True, slots=True)
class _Read:
    """What a read found: changes up to `newest`, and how many sweeps have found something since then.

    `keyed`: how many rows there are, where some may be replaced unnoticed.
    """

    newest: Entry
    sweeps: int
    changes: Iterable[Change]
    swept: bool = False
    snapshot: bool = False
    keyed: int | None = None


class SqliteSource:
    """Follows a changelog that triggers fill; now and then sweeps: compares every row with what is known.

    A position is the id of the changelog's last row, with `~n` after it for the n-th sweep since that found
    what no trigger had logged. Without triggers (install=false) every read is a sweep. So is one after which
    there are fewer rows than the changelog explains: REPLACE over a second unique index deletes without firing
    triggers, unless the writer set recursive_triggers.
    """

    consistency = Consistency.READ_TRANSACTION

    def __init__(self, path: Path, options: SqliteOptions, clock: Callable[[], datetime]) -> None:
        self.options = options
        self._path = path
        self._clock = clock
        self._connection: sqlite3.Connection | None = None  # of the read that is under way

    def now(self) -> datetime:
        """Our clock: the database is a file where we run."""
        return self._clock()

    def prepare(self) -> None:
        """Checks the mapping and installs the changelog and its triggers. Raises SourceError."""
        with reading(self._path) as connection:
            mapping = describe(connection, self._path.name, self.options)
        if not self.options.install:
            return
        try:
            with writing(self._path) as connection:
                Changelog(connection, mapping).install()
        except SourceUnavailable as error:
            raise SourceError(
                f"the changelog cannot be installed ({error}); set install=false to do without"
            ) from error

    def dispose(self) -> None:
        """Removes the changelog and the triggers of our table. Raises SourceUnavailable."""
        if self.options.install and self._path.exists():
            with writing(self._path) as connection:
                uninstall(connection, self.options.table)

    def probe(self) -> Probe:
        """Counts the rows. Raises SourceError where columns or triggers are missing."""
        with reading(self._path) as connection:
            mapping = describe(connection, self._path.name, self.options)
            newest = self._newest(Changelog(connection, mapping))
            documents = Rows(connection, mapping).count()
        note = "" if self.options.install else "no changelog: every read compares all rows"
        return Probe(f"{newest.id}", documents, self.consistency, note)

    def acknowledge(self, position: str) -> None:
        """Prunes the changelog before the position. Raises SourceUnavailable where it cannot be written."""
        self._end_transaction()
        if not self.options.install:
            return
        last, _ = _parsed(position)
        with reading(self._path) as connection:
            mapping = describe(connection, self._path.name, self.options)
            worthwhile = Changelog(connection, mapping).can_prune(last)
        if worthwhile:
            with writing(self._path) as connection:
                Changelog(connection, mapping).prune(last)

    def read(self, cursor: Cursor | None, heads: Heads) -> Iterator[Commit]:
        """At most one commit. Its changes must be read before the iterator goes on: they hold a transaction.

        A snapshot is given where there is no cursor or the changelog does not continue it. A sweep that
        finds nothing gives a commit without changes at the cursor's position, to keep the time of the sweep.
        """
        with reading(self._path) as connection:
            mapping = describe(connection, self._path.name, self.options)
            rows, log = Rows(connection, mapping), Changelog(connection, mapping)
            read = self._read(cursor, rows, log, heads, mapping)
            self._connection = connection
            if read is not None:
                if mapping.replaceable and self.options.install:
                    read = replace(read, keyed=rows.keyed())
                yield self._commit(read, None if cursor is None else cursor.state)

    def _read(
        self, cursor: Cursor | None, rows: Rows, log: Changelog, heads: Heads, mapping: Table
    ) -> _Read | None:
        """What there is since the cursor, None where that is nothing."""
        newest = self._newest(log)
        if cursor is None:
            return _Read(newest, 0, rows.all(), swept=True, snapshot=True)
        last, sweeps = _parsed(cursor.position)
        if not self.options.install:
            newest = Entry(last, newest.at)
        elif not log.continues(Entry(last, str(cursor.state.get("entry_at")))):
            return _Read(newest, 0, rows.all(), swept=True, snapshot=True)
        moved = newest.id > last
        if self._sweep_due(cursor.state) or (moved and not mapping.exact):
            return self._sweep(newest, sweeps, rows.differences(heads), moved=moved)
        if not moved:
            return None
        before = cursor.state.get("keyed")
        if mapping.replaceable and not rows.accounts_for(log.keys_since(last), heads, before):
            return self._sweep(newest, sweeps, rows.differences(heads), moved=moved)
        return _Read(newest, 0, rows.touched(log.keys_since(last), heads))

    def _sweep(
        self, newest: Entry, sweeps: int, differences: Iterator[Change], *, moved: bool
    ) -> _Read | None:
        first = next(differences, None)
        if first is not None:
            found = chain((first,), differences)
            return _Read(newest, 0 if moved else sweeps + 1, found, swept=True)
        # Without triggers every read sweeps: there is no time to keep.
        return _Read(newest, 0 if moved else sweeps, (), swept=True) if self.options.install else None

    def _commit(self, read: _Read, state: Mapping[str, Any] | None) -> Commit:
        now = self._clock()
        # The log's time is not that of a change that only a sweep found.
        at = settle(None if read.sweeps else from_iso(read.newest.at), last_time(state or {}), now)
        swept_at = now.isoformat() if read.swept else (state or {}).get("swept_at", now.isoformat())
        keyed = {} if read.keyed is None else {"keyed": read.keyed}
        return Commit(
            position=f"{read.newest.id}~{read.sweeps}" if read.sweeps else f"{read.newest.id}",
            committed_at=at,
            changes=self._held(read.changes),
            snapshot=read.snapshot,
            state={"at": at.isoformat(), "entry_at": read.newest.at, "swept_at": swept_at, **keyed},
        )

    def _held(self, changes: Iterable[Change]) -> Iterator[Change]:
        try:
            with unavailable(self._path):
                yield from changes
            self._end_transaction()
        except SourceUnavailable as error:
            if isinstance(error.__cause__, sqlite3.ProgrammingError):
                raise SourceError(
                    "the changes of a commit must be read before the next is asked for"
                ) from error
            raise

    def _end_transaction(self) -> None:
        # Without a WAL our own read transaction would keep us from pruning, and the writers from writing.
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _newest(self, log: Changelog) -> Entry:
        if not self.options.install:
            return _UNLOGGED
        log.check()
        return log.newest() or _EMPTY_LOG

    def _sweep_due(self, state: Mapping[str, Any]) -> bool:
        if not self.options.install:
            return True
        swept_at = from_iso(state.get("swept_at"))
        return swept_at is None or (self._clock() - swept_at).total_seconds() >= self.options.sweep_interval


def database_path(uri: str) -> Path:
    """The file that a path, an sqlite:/// or a file:// URI names. Raises SourceError for other URIs."""
    if uri.startswith("sqlite:///"):
        return Path(uri.removeprefix("sqlite:///")).absolute()
    if uri.startswith("file:"):
        return Path(unquote(urlsplit(uri).path)).absolute()
    if "://" in uri or not uri:
        raise SourceError(f"{uri!r} is not an SQLite database; give a path or an sqlite:/// URI")
    return Path(uri).expanduser().absolute()


def _parsed(position: str) -> tuple[int, int]:
    """The changelog's id and the number of the sweep after it."""
    match = _POSITION.fullmatch(position)
    if match is None:
        raise SourceError(f"{position!r} is not a position of an SQLite table")
    return int(match[1]), int(match[2] or 0)
