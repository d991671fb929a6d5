"""Vectors as OpenAI's format sends them: numbers, or base64 of little-endian float32.

Either way they are float32 numbers: what is stored for an idempotency key gives the very same ones again.
"""

from __future__ import annotations

import base64
import math
import struct
from typing import Any

from gateway_client.providers.wire import items, malformed, mapping, whole

Vector = tuple[float, ...]


def vectors_of(data: list[Any]) -> tuple[Vector, ...]:
    """Vectors in the order of their index, which need not be the order of arrival. Raises MalformedResponse."""
    indexed = {whole(mapping(entry).get("index")): entry for entry in data}
    if not data or set(indexed) != set(range(len(data))):
        raise malformed("the provider's embeddings are not numbered from 0 on")
    vectors = tuple(_vector(indexed[index].get("embedding")) for index in range(len(data)))
    if len({len(vector) for vector in vectors}) != 1 or not vectors[0]:
        raise malformed("the provider's embeddings differ in size, or have none")
    return vectors


def _vector(value: object) -> Vector:
    try:
        packed = base64.b64decode(value, validate=True) if isinstance(value, str) else _packed(items(value))
        found: Vector = struct.unpack(f"<{len(packed) // 4}f", packed)
    except (ValueError, TypeError, OverflowError, struct.error) as broken:
        raise malformed("an embedding is neither numbers nor base64 of them") from broken
    if not all(map(math.isfinite, found)):
        raise malformed("an embedding holds what is no finite number")
    return found


def _packed(numbers: list[Any]) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)
