"""One Qdrant Edge shard: how it is configured, created, loaded, written and read back.

- Dot product over vectors of length one: cosine, and the stored floats stay bit for bit what was given.
- No write-ahead log: the directory is private until it is renamed whole, or thrown away.
- No HNSW (`indexing_threshold`): search is exact, 4 ms at 50,000 points.
- Any deleted point is vacuumed: until then it counts in the engine's document frequencies, and its text
  is still on disk.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import qdrant_edge as edge

from retrieval.errors import IndexCorrupt
from retrieval.index.point import IndexPoint, document_id, point_digest
from retrieval.lexical.terms import SparseWeights

DENSE = "dense"
LEXICAL = "lexical"
DOCUMENT_ID = "doc_id"
BOOLEANS = "booleans"
_NEVER_KB = 10**9
_SCROLL = 1000


def configuration(dimension: int) -> edge.EdgeConfig:
    """The one configuration that shards are created and loaded with."""
    return edge.EdgeConfig(
        vectors={DENSE: edge.EdgeVectorParams(size=dimension, distance=edge.Distance.Dot, memory=edge.Memory.Cold)},
        sparse_vectors={LEXICAL: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
        payload_memory=edge.Memory.Cold,
        optimizers=edge.EdgeOptimizersConfig(
            deleted_threshold=1e-9,
            vacuum_min_vector_number=1,
            default_segment_number=1,
            indexing_threshold=_NEVER_KB,
        ),
        max_search_threads=1,
        wal_enabled=False,
    )


def create(directory: Path, dimension: int) -> edge.EdgeShard:
    """A new, empty shard in a new directory."""
    directory.mkdir()
    shard = edge.EdgeShard.create(str(directory), configuration(dimension))
    for field in (DOCUMENT_ID, "document", "source"):
        shard.update(edge.UpdateOperation.create_field_index(field, edge.KeywordIndexParams(memory=edge.Memory.Cold)))
    return shard


def load(directory: Path, dimension: int, subject: object) -> edge.EdgeShard:
    """An existing shard. Raises IndexCorrupt where the engine cannot load it."""
    try:
        return edge.EdgeShard.load(str(directory), configuration(dimension))
    except Exception as error:  # the engine raises nothing more precise
        raise IndexCorrupt(f"the index engine cannot open {subject}: rebuild it ({error})") from error


def upsert(shard: edge.EdgeShard, points: Sequence[IndexPoint]) -> None:
    """Add or replace points."""
    shard.update(edge.UpdateOperation.upsert_points([_to_engine(point) for point in points]))


def delete(shard: edge.EdgeShard, chunk_ids: Sequence[str]) -> None:
    """Remove points."""
    shard.update(edge.UpdateOperation.delete_points(list(chunk_ids)))


def vacuum(shard: edge.EdgeShard) -> None:
    """Rewrite segments until no deleted point is left."""
    while shard.optimize():
        pass


class StoredPoint(NamedTuple):
    """One point as the engine gives it back, converted once: each access to a record's fields copies them."""

    chunk_id: str
    payload: dict[str, Any]
    vector: array[float]
    indices: array[int]
    values: array[float]

    def digest(self) -> str:
        """As `IndexPoint.digest`, straight from the engine's numbers."""
        vector, indices, values = self.vector.tobytes(), self.indices.tobytes(), self.values.tobytes()
        return point_digest(self.payload, vector, indices, values)

    def to_point(self) -> IndexPoint:
        """The point that was stored."""
        weights = SparseWeights(self.term_ids(), self.term_weights())
        return IndexPoint(self.chunk_id, np.frombuffer(self.vector, np.float32), weights, self.payload)

    def term_ids(self) -> npt.NDArray[np.uint32]:
        """(n,) ids of its terms."""
        return np.frombuffer(self.indices, np.uint32)

    def term_weights(self) -> npt.NDArray[np.float32]:
        """(n,) weight of each."""
        return np.frombuffer(self.values, np.float32)


def stored_points(shard: edge.EdgeShard, batch: int = _SCROLL) -> Iterator[StoredPoint]:
    """Every point, in order of its id, fetched in batches."""
    offset = None
    while True:
        request = edge.ScrollRequest(offset=offset, limit=batch, with_payload=True, with_vector=True)
        found, offset = shard.scroll(request)
        yield from map(_stored, found)
        if offset is None:
            return


def payload(record: edge.Record) -> dict[str, Any]:
    """The payload as it was given: the fields that filters need are derived, so checked and left out."""
    stored = dict(record.payload or {})
    found = {name: stored.pop(name, None) for name in (DOCUMENT_ID, BOOLEANS)}
    if found != _derived(stored):
        raise IndexCorrupt(f"chunk {record.id} is filed under another document or metadata than its own")
    return stored


def boolean(field: str, value: bool) -> str:
    """How a true or false metadata field is filed: the engine's Python binding cannot match booleans."""
    return f"{field}\x1f{str(value).lower()}"


def _stored(record: edge.Record) -> StoredPoint:
    vectors = cast(dict[str, Any], record.vector)
    weights: edge.SparseVector = vectors[LEXICAL]
    return StoredPoint(
        str(record.id),
        payload(record),
        array("f", vectors[DENSE]),
        array("I", weights.indices),
        array("f", weights.values),
    )


def _derived(payload: dict[str, Any]) -> dict[str, Any]:
    booleans = [
        boolean(field, value)
        for field, values in (payload.get("metadata") or {}).items()
        for value in (values if isinstance(values, list | tuple) else [values])
        if isinstance(value, bool)
    ]
    return {DOCUMENT_ID: document_id(payload), BOOLEANS: booleans}


def _to_engine(point: IndexPoint) -> edge.Point:
    weights = edge.SparseVector(point.weights.indices.tolist(), point.weights.values.tolist())
    stored = point.payload | _derived(point.payload)
    return edge.Point(point.chunk_id, {DENSE: point.vector.tolist(), LEXICAL: weights}, stored)
