"""The logical replication messages that pgoutput writes, protocol version 1, decoded.

PostgreSQL documentation, "Logical Replication Message Formats". Nothing here knows a connection.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from pipelines.errors import SourceError

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # PostgreSQL's


class Unchanged(Enum):
    """A large value that a row kept: the log does not repeat it."""

    UNCHANGED = "unchanged"


UNCHANGED = Unchanged.UNCHANGED
Value = bytes | None | Unchanged
Values = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Begin:
    """A transaction begins; `final_lsn` is where the record of its commit starts."""

    final_lsn: int
    committed_at: datetime
    xid: int


@dataclass(frozen=True, slots=True)
class Committed:
    """It ends; `end_lsn` is where the record of its commit ends, which no other commit shares."""

    commit_lsn: int
    end_lsn: int
    committed_at: datetime


@dataclass(frozen=True, slots=True)
class RelationColumn:
    """A column as it was then. `in_identity`: part of the replica identity."""

    name: str
    type_oid: int
    in_identity: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """A table as it was then. `identity`: d default, n nothing, f full, i index."""

    oid: int
    namespace: str
    name: str
    identity: str
    columns: tuple[RelationColumn, ...]


@dataclass(frozen=True, slots=True)
class Insert:
    """A row that came."""

    relation: int
    new: Values


@dataclass(frozen=True, slots=True)
class Update:
    """A row that changed. `old` is given by replica identity full, or (as `old_is_key`) where the key moved."""

    relation: int
    old: Values | None
    old_is_key: bool
    new: Values


@dataclass(frozen=True, slots=True)
class Delete:
    """A row that went. With `old_is_key` only the columns of the replica identity say anything."""

    relation: int
    old: Values
    old_is_key: bool


@dataclass(frozen=True, slots=True)
class Truncate:
    """Tables that were emptied."""

    relations: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """The transaction came from another server by replication."""

    lsn: int
    name: str


@dataclass(frozen=True, slots=True)
class TypeName:
    """A type that is not built in."""

    oid: int
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class LogicalMessage:
    """Something that an application wrote into the log by pg_logical_emit_message."""

    transactional: bool
    lsn: int
    prefix: str
    content: bytes


RowMessage = Insert | Update | Delete | Truncate
PgOutputMessage = Begin | Committed | Relation | RowMessage | Origin | TypeName | LogicalMessage


def decode(data: bytes) -> PgOutputMessage:
    """One message. Raises SourceError where it is none of protocol version 1, or is cut short."""
    reader = _Reader(data)
    kind = chr(reader.byte()) if data else ""
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise SourceError(f"pgoutput sent a message of kind {kind!r}, which its protocol version 1 has not")
    try:
        message = decoder(reader)
    except (struct.error, IndexError, ValueError) as error:
        raise SourceError(f"pgoutput sent a message of kind {kind!r} that is cut short or garbled") from error
    if not reader.at_end():
        raise SourceError(f"pgoutput sent a message of kind {kind!r} with more in it than it should have")
    return message


class _Reader:
    """Takes a message apart from the front; every number is big-endian."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def _number(self, layout: str) -> int:
        (value,) = struct.unpack_from(layout, self._data, self._at)
        self._at += struct.calcsize(layout)
        return int(value)

    def byte(self) -> int:
        return self._number(">B")

    def int16(self) -> int:
        return self._number(">H")

    def int32(self) -> int:
        return self._number(">I")

    def int64(self) -> int:
        return self._number(">Q")

    def time(self) -> datetime:
        return _EPOCH + timedelta(microseconds=self._number(">q"))

    def text(self) -> str:
        end = self._data.index(0, self._at)
        raw = self._data[self._at : end]
        self._at = end + 1
        return raw.decode("utf-8", "surrogateescape")

    def data(self, length: int) -> bytes:
        end = self._at + length
        if end > len(self._data):
            raise IndexError(end)
        raw = self._data[self._at : end]
        self._at = end
        return raw

    def values(self) -> Values:
        return tuple(self._value() for _ in range(self.int16()))

    def _value(self) -> Value:
        kind = self.byte()
        if kind == ord("n"):
            return None
        if kind == ord("u"):
            return UNCHANGED
        if kind != ord("t"):
            raise ValueError(kind)
        return self.data(self.int32())

    def at_end(self) -> bool:
        return self._at == len(self._data)


def _begin(reader: _Reader) -> Begin:
    return Begin(reader.int64(), reader.time(), reader.int32())


def _committed(reader: _Reader) -> Committed:
    reader.byte()  # flags, none of which are in use
    return Committed(reader.int64(), reader.int64(), reader.time())


def _relation(reader: _Reader) -> Relation:
    oid, namespace, name, identity = reader.int32(), reader.text(), reader.text(), chr(reader.byte())
    columns = tuple(_column(reader) for _ in range(reader.int16()))
    return Relation(oid, namespace or "pg_catalog", name, identity, columns)


def _column(reader: _Reader) -> RelationColumn:
    in_identity, name, type_oid = bool(reader.byte() & 1), reader.text(), reader.int32()
    reader.int32()  # the type's modifier
    return RelationColumn(name, type_oid, in_identity)


def _insert(reader: _Reader) -> Insert:
    relation = reader.int32()
    _expect(reader, "N")
    return Insert(relation, reader.values())


def _update(reader: _Reader) -> Update:
    relation, marker = reader.int32(), chr(reader.byte())
    if marker == "N":
        return Update(relation, None, False, reader.values())
    if marker not in "KO":
        raise ValueError(marker)
    old = reader.values()
    _expect(reader, "N")
    return Update(relation, old, marker == "K", reader.values())


def _delete(reader: _Reader) -> Delete:
    relation, marker = reader.int32(), chr(reader.byte())
    if marker not in "KO":
        raise ValueError(marker)
    return Delete(relation, reader.values(), marker == "K")


def _truncate(reader: _Reader) -> Truncate:
    count = reader.int32()
    reader.byte()  # CASCADE and RESTART IDENTITY: what cascaded is listed
    return Truncate(tuple(reader.int32() for _ in range(count)))


def _origin(reader: _Reader) -> Origin:
    return Origin(reader.int64(), reader.text())


def _type_name(reader: _Reader) -> TypeName:
    return TypeName(reader.int32(), reader.text(), reader.text())


def _logical_message(reader: _Reader) -> LogicalMessage:
    transactional, lsn, prefix = bool(reader.byte() & 1), reader.int64(), reader.text()
    return LogicalMessage(transactional, lsn, prefix, reader.data(reader.int32()))


def _expect(reader: _Reader, marker: str) -> None:
    if chr(reader.byte()) != marker:
        raise ValueError(marker)


_DECODERS: dict[str, Callable[[_Reader], PgOutputMessage]] = {
    "B": _begin,
    "C": _committed,
    "R": _relation,
    "I": _insert,
    "U": _update,
    "D": _delete,
    "T": _truncate,
    "O": _origin,
    "Y": _type_name,
    "M": _logical_message,
}
