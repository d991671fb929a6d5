"""A row's values as bytes to keep, and the digests that stand for what tells rows apart."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence

_NULL = 0xFFFFFFFF
_WORTH_COMPRESSING = 256


def pack(values: Sequence[bytes | None]) -> bytes:
    """Values in order, NULL kept apart from empty; compressed where that can pay."""
    parts = []
    for value in values:
        parts.append(struct.pack(">I", _NULL if value is None else len(value)))
        parts.append(value or b"")
    raw = b"".join(parts)
    return b"z" + zlib.compress(raw, 1) if len(raw) > _WORTH_COMPRESSING else b"-" + raw


def unpack(packed: bytes) -> tuple[bytes | None, ...]:
    """What `pack` was given."""
    raw = zlib.decompress(packed[1:]) if packed[:1] == b"z" else packed[1:]
    values: list[bytes | None] = []
    at = 0
    while at < len(raw):
        (length,) = struct.unpack_from(">I", raw, at)
        at += 4
        if length == _NULL:
            values.append(None)
        else:
            values.append(raw[at : at + length])
            at += length
    return tuple(values)


def digest(values: Sequence[bytes | None]) -> str:
    """32 hex digits (BLAKE2b) that only these values in this order have."""
    hashed = hashlib.blake2b(digest_size=16)
    for value in values:
        hashed.update(struct.pack(">I", _NULL if value is None else len(value)))
        hashed.update(value or b"")
    return hashed.hexdigest()
