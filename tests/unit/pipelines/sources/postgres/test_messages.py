"""The decoder against an encoder written from the protocol's description, and against anything at all."""

from __future__ import annotations

import struct
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import SourceError
from pipelines.sources.postgres.messages import (
    UNCHANGED,
    Begin,
    Committed,
    Delete,
    Insert,
    LogicalMessage,
    Origin,
    Relation,
    RelationColumn,
    Truncate,
    TypeName,
    Update,
    Values,
    decode,
)

OID = st.integers(0, 2**32 - 1)
LSN = st.integers(0, 2**64 - 1)
NAME = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=8)
TIMES = st.integers(-(10**15), 6 * 10**15).map(
    lambda n: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=n)
)
VALUES = st.lists(st.one_of(st.none(), st.just(UNCHANGED), st.binary(max_size=40)), max_size=6).map(tuple)


def micros(at: datetime) -> int:
    return (at - datetime(2000, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def text(name: str) -> bytes:
    return name.encode() + b"\0"


def row(values: Values) -> bytes:
    parts = [struct.pack(">H", len(values))]
    for value in values:
        if value is None:
            parts.append(b"n")
        elif isinstance(value, bytes):
            parts.append(b"t" + struct.pack(">I", len(value)) + value)
        else:
            parts.append(b"u")
    return b"".join(parts)


@given(LSN, TIMES, OID)
def test_begin(lsn, at, xid):
    assert decode(b"B" + struct.pack(">QqI", lsn, micros(at), xid)) == Begin(lsn, at, xid)


@given(LSN, LSN, TIMES)
def test_commit(lsn, end, at):
    assert decode(b"C\0" + struct.pack(">QQq", lsn, end, micros(at))) == Committed(lsn, end, at)


@given(
    OID, NAME, NAME, st.sampled_from("dnfi"), st.lists(st.tuples(st.booleans(), NAME, OID, OID), max_size=4)
)
def test_relation(oid, namespace, name, identity, columns):
    encoded = b"R" + struct.pack(">I", oid) + text(namespace) + text(name) + identity.encode()
    encoded += struct.pack(">H", len(columns))
    for key, column, kind, modifier in columns:
        encoded += bytes([key]) + text(column) + struct.pack(">II", kind, modifier)
    expected = tuple(RelationColumn(column, kind, key) for key, column, kind, _ in columns)
    assert decode(encoded) == Relation(oid, namespace or "pg_catalog", name, identity, expected)


@given(OID, VALUES, VALUES, st.sampled_from("KO"))
def test_rows(oid, old, new, marker):
    head, mark, key = struct.pack(">I", oid), marker.encode(), marker == "K"
    assert decode(b"I" + head + b"N" + row(new)) == Insert(oid, new)
    assert decode(b"U" + head + b"N" + row(new)) == Update(oid, None, False, new)
    assert decode(b"U" + head + mark + row(old) + b"N" + row(new)) == Update(oid, old, key, new)
    assert decode(b"D" + head + mark + row(old)) == Delete(oid, old, key)


@given(st.lists(OID, max_size=5), st.integers(0, 3))
def test_truncate(oids, flags):
    encoded = b"T" + struct.pack(">IB", len(oids), flags) + b"".join(struct.pack(">I", oid) for oid in oids)
    assert decode(encoded) == Truncate(tuple(oids))


@given(LSN, NAME, OID, st.binary(max_size=20), st.booleans())
def test_the_rest(lsn, name, oid, content, transactional):
    assert decode(b"O" + struct.pack(">Q", lsn) + text(name)) == Origin(lsn, name)
    assert decode(b"Y" + struct.pack(">I", oid) + text(name) + text(name)) == TypeName(oid, name, name)
    encoded = b"M" + bytes([transactional]) + struct.pack(">Q", lsn) + text(name)
    encoded += struct.pack(">I", len(content)) + content
    assert decode(encoded) == LogicalMessage(transactional, lsn, name, content)


@given(st.binary(max_size=60))
def test_anything_is_a_message_or_an_error(data):
    with suppress(SourceError):
        decode(data)


@given(OID, VALUES, st.data())
def test_what_is_cut_short_or_too_long_is_an_error(oid, values, data):
    whole = b"I" + struct.pack(">I", oid) + b"N" + row(values)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(SourceError):
        decode(whole[:cut])
    with pytest.raises(SourceError, match="more in it"):
        decode(whole + b"x")


def test_messages_of_later_protocols_are_refused():
    for kind in b"SEcApr":
        with pytest.raises(SourceError, match="protocol version 1 has not"):
            decode(bytes([kind]) + bytes(20))
    with pytest.raises(SourceError, match="garbled"):
        decode(b"I" + bytes(4) + b"N" + b"\0\1" + b"b" + bytes(4))
