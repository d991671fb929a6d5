"""A table's rows as COPY writes them: the same text that the log's decoding gives, a row at a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from psycopg import sql

from pipelines.sources.postgres.layout import TableLayout
from pipelines.sources.postgres.packed_values import digest
from pipelines.sources.postgres.server import Connection, take_as_stored

_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_MEANT = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
CopiedRow = tuple[str, tuple[bytes | None, ...]]


def copied(connection: Connection, table: TableLayout, where: str = "") -> Iterator[CopiedRow]:
    """Identity and kept values of every row that the connection's transaction sees; `where` is SQL."""
    names = [*table.identity, *table.columns]
    query = sql.SQL("COPY (SELECT {columns} FROM {table}{where}) TO STDOUT").format(
        columns=sql.SQL(", ").join(map(sql.Identifier, names)),
        table=sql.Identifier(table.schema, table.name),
        # From the server's own catalog: the filter of the publication.
        where=sql.SQL(f" WHERE ({where})" if where else ""),
    )
    take_as_stored(connection)
    # Names are written as UTF-8 whatever the connection's encoding is now.
    with connection.cursor() as cursor, cursor.copy(query.as_bytes(None)) as copy:
        for line in _lines(bytes(block) for block in copy):
            values = parsed(line)
            width = len(table.identity)
            yield digest(values[:width]), values[width:]


def parsed(line: bytes) -> tuple[bytes | None, ...]:
    """The fields of a line of COPY's text format, without its end."""
    return tuple(_field(field) for field in line.split(b"\t"))


def _field(field: bytes) -> bytes | None:
    if field == b"\\N":
        return None
    if b"\\" not in field:
        return field
    return _ESCAPED.sub(lambda match: _MEANT.get(match[1], match[1]), field)


def _lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines, however the blocks cut them. An end of line within a value is escaped."""
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
    if rest:
        yield rest
