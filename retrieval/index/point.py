"""One chunk as an index keeps it, and the digest that tells two such points apart."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from retrieval.lexical.terms import SparseWeights

_UNIT_TOLERANCE = 1e-3
_INT64 = 2**63
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True, eq=False)
class IndexPoint:
    """chunk_id: a UUID in canonical form; vector: (dim,) float32 of length one; weights: BM25 weights.

    payload: JSON with at least `source` and `document` (strings). Raises ValueError for what an index could
    not give back unchanged.
    """

    chunk_id: str
    vector: npt.NDArray[np.float32] = field(repr=False)
    weights: SparseWeights = field(repr=False)
    payload: dict[str, Any] = field(repr=False)

    def __post_init__(self) -> None:
        if str(UUID(self.chunk_id)) != self.chunk_id:
            raise ValueError(f"the chunk id {self.chunk_id!r} is not a UUID in its canonical form")
        if self.vector.dtype != np.float32 or self.vector.ndim != 1:
            raise ValueError(f"chunk {self.chunk_id}: the vector is not one row of float32")
        if not abs(float(self.vector @ self.vector) - 1) < _UNIT_TOLERANCE:
            raise ValueError(f"chunk {self.chunk_id}: the vector is not of length one")
        document_id(self.payload)
        _check_json(self.payload, self.chunk_id)

    def digest(self) -> str:
        """64 hex digits over payload, vector and weights: what a search could see of this point."""
        return point_digest(
            self.payload,
            self.vector.astype("<f4").tobytes(),
            self.weights.indices.astype("<u4").tobytes(),
            self.weights.values.astype("<f4").tobytes(),
        )


def point_digest(payload: dict[str, Any], vector: bytes, indices: bytes, values: bytes) -> str:
    """SHA-256 over canonical JSON and little-endian float32 and uint32 arrays, each with its length."""
    digest = hashlib.sha256()
    for part in (_CANONICAL.encode(payload).encode(), vector, indices, values):
        digest.update(struct.pack("<Q", len(part)))
        digest.update(part)
    return digest.hexdigest()


def document_id(payload: dict[str, Any]) -> str:
    """Source and document key in one string. The separator can occur in neither: ValueError."""
    return joined_document_id(payload["source"], payload["document"])


def joined_document_id(source: str, document: str) -> str:
    """As `document_id`, from the two names."""
    if "\x1f" in source or "\x1f" in document:
        raise ValueError(f"document {document!r} of source {source!r}: a name holds the control character 1F")
    return f"{source}\x1f{document}"


def _check_json(value: object, chunk_id: str) -> None:
    """Refuse what JSON or the engine would change: other keys than strings, integers beyond 64 bits, NaN."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise ValueError(f"chunk {chunk_id}: the payload key {key!r} is not a string")  # noqa: TRY004
            _check_json(inner, chunk_id)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_json(inner, chunk_id)
    elif isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise ValueError(f"chunk {chunk_id}: a payload integer does not fit 64 bits")
    elif isinstance(value, float) and not np.isfinite(value):
        raise ValueError(f"chunk {chunk_id}: a payload number is not finite")
    elif not (value is None or isinstance(value, str | int | float)):
        raise ValueError(f"chunk {chunk_id}: a payload value is a {type(value).__name__}, which JSON lacks")
