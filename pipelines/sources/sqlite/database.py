"""Opening an SQLite database that others write: never creating it, and with its errors as ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.errors import SourceUnavailable

BUSY_SECONDS = 10.0


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """One read transaction. Text that is not UTF-8 arrives surrogate-escaped. Raises SourceUnavailable."""
    with _opened(path, "ro") as connection:
        connection.execute("PRAGMA query_only=ON")
        connection.execute("BEGIN")
        yield connection


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """One write transaction, committed when the block ends well. Raises SourceUnavailable."""
    with _opened(path, "rw") as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")


@contextmanager
def unavailable(path: Path) -> Iterator[None]:
    """Whatever SQLite cannot do in this block is SourceUnavailable."""
    try:
        yield
    except sqlite3.Error as error:
        raise SourceUnavailable(f"SQLite database {path} cannot be read: {error}") from error


def quoted(name: str) -> str:
    """A name of a table or column as SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string as SQL, for statements that take no parameters."""
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def _opened(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    if not path.is_file():
        raise SourceUnavailable(f"there is no SQLite database at {path}")
    with unavailable(path):
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode={mode}", uri=True, timeout=BUSY_SECONDS, isolation_level=None
        )
        connection.text_factory = _text
        try:
            yield connection
        finally:
            connection.close()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
