"""Term counts as bytes, for the registry: little-endian uint32 ids, then counts."""

from __future__ import annotations

import numpy as np

from retrieval.lexical.terms import TermCounts


def pack(terms: TermCounts) -> bytes:
    """2n little-endian uint32 values: n ids, n counts."""
    return np.concatenate([terms.indices, terms.counts]).astype("<u4").tobytes()


def unpack(packed: bytes) -> TermCounts:
    """The inverse of `pack`. ValueError where the bytes are not one."""
    values = np.frombuffer(packed, dtype="<u4")
    if len(values) % 2:
        raise ValueError("packed term counts need one count per id")
    indices, counts = values[: len(values) // 2], values[len(values) // 2 :]
    return TermCounts(indices.astype(np.uint32), counts.astype(np.uint32), int(counts.sum()))
