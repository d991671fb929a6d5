"""Which columns of a table make a document, checked against the table, and how a row becomes a change."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from pipelines.errors import SourceError
from pipelines.sources.options import SqliteOptions
from pipelines.sources.source import Unreadable, Upsert
from pipelines.sources.sqlite.database import quoted
from pipelines.sources.storable import key_flaw, stand_in, value_flaw

MEDIA_TYPES = {
    "markdown": "text/markdown",
    "html": "text/html",
    "rst": "text/x-rst",
    "plain": "text/plain",
}
MAX_LABEL = 60  # characters of a tenant column's value; longer ones can be no tenant's name
Value = str | bytes | int | float | None
Row = Sequence[Value]


@dataclass(frozen=True, slots=True)
class Mapping:
    """`table` and `key` as the database spells them; `is_table` is false for a view.

    `exact`: a unique index over the key, so that a changelog's key names at most one row. `replaceable`: REPLACE
    may delete a row under another key, of which no trigger tells unless the writer set recursive_triggers.
    """

    database: str
    table: str
    key: str
    options: SqliteOptions
    is_table: bool
    exact: bool
    replaceable: bool

    def select(self) -> str:
        """SQL for rows in the shape that `change` takes."""
        names = [self.key, self.options.body, self.options.title, self.options.url]
        names += [*self.options.metadata, self.options.tenant_column]
        columns = ", ".join("NULL" if name is None else quoted(name) for name in names)
        return f"SELECT {columns} FROM {quoted(self.table)}"  # noqa: S608

    def change(self, row: Row) -> Upsert | Unreadable:
        """The document of a row whose key is not NULL."""
        raw, body, title, url, *metadata, label = row
        name = key_text(raw)
        key, tenant = document_key(name), self._tenant(label)
        content = body if isinstance(body, bytes) else _text(body).encode("utf-8", "surrogateescape")
        fields: dict[str, object] = dict(zip(self.options.metadata, map(_json_value, metadata), strict=True))
        uri = _text(url) if url is not None else f"{self.database}/{self.table}/{quote(key)}"
        if flaw := key_flaw(name):
            return Unreadable(key, f"its key {flaw}", tenant)
        for what, value in (("title", _text(title)), ("url", uri), ("metadata", fields)):
            if flaw := value_flaw(value):
                return Unreadable(key, f"its {what} {flaw}", tenant)
        return Upsert(key, _text(title), uri, content, MEDIA_TYPES[self.options.format], fields, tenant)

    def _tenant(self, label: Value) -> str | None:
        if self.options.tenant_column is None:
            return None
        text = _text(label)
        return stand_in(text, 40) if text and (key_flaw(text) or len(text) > MAX_LABEL) else text


def describe(connection: sqlite3.Connection, database: str, options: SqliteOptions) -> Mapping:
    """The mapping that the options mean here. Raises SourceError where the table or a column is missing."""
    found = connection.execute(
        "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view') AND lower(name) = lower(?)",
        (options.table,),
    ).fetchone()
    if found is None:
        raise SourceError(f"SQLite database {database} has no table {options.table!r}")
    table, kind = found
    columns = {row[1].lower(): row for row in connection.execute(f"PRAGMA table_xinfo({quoted(table)})")}
    wanted = [options.key, options.body, options.title, options.url, options.tenant_column]
    missing = [name for name in (*wanted, *options.metadata) if name and name.lower() not in columns]
    if missing:
        raise SourceError(
            f"table {table} of SQLite database {database} has no column {', '.join(map(repr, missing))}; "
            f"it has {', '.join(row[1] for row in columns.values())}"
        )
    key = columns[options.key.lower()][1]
    primary = [str(row[1]) for row in columns.values() if row[5]]
    unique = list(_unique_indices(connection, table))
    exact = kind == "table" and (primary == [key] or any(names == [key] for names, _ in unique))
    replaceable = primary not in ([], [key]) or any(names != [key] or not binary for names, binary in unique)
    return Mapping(database, table, key, options, kind == "table", exact, replaceable)


def key_text(value: Value) -> str:
    """A key as text: bytes as hex digits."""
    return value.hex() if isinstance(value, bytes) else str(value)


def document_key(name: str) -> str:
    """The key of the document of a row with this key."""
    return stand_in(name) if key_flaw(name) else name


def _unique_indices(connection: sqlite3.Connection, table: str) -> Iterator[tuple[list[str | None], bool]]:
    """The columns of each whole unique index (None for an expression), and whether it compares byte by byte.

    One over some rows only counts as one over an expression.
    """
    for row in connection.execute(f"PRAGMA index_list({quoted(table)})").fetchall():
        unique, partial = row[2], row[4]
        columns = connection.execute(f"PRAGMA index_xinfo({quoted(row[1])})").fetchall()
        indexed = [column for column in columns if column[5]]
        names = [None if partial else column[2] for column in indexed]
        if unique:
            yield names, all(column[4] == "BINARY" for column in indexed)


def _text(value: Value) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return "" if value is None else str(value)


def _json_value(value: Value) -> Value:
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
