"""One Qdrant Edge shard: how it is configured, created, loaded, written and read back.

- Dot product over vectors of length one: cosine, and the stored floats stay bit for bit what was given.
- No write-ahead log: the directory is private until it is renamed whole, or thrown away.
- No HNSW (`indexing_threshold`): search is exact, 4 ms at 50,000 points.
- Any deleted point is vacuumed: until then it counts in the engine's document frequencies, and its text
  is still on disk.
- One keyword index at most, over all the names that a point can be found by (source, document, the short values of
  its metadata): an index holds 5 MB of memory however little is in it. Up to 500 points there is none: a filter
  reads 5 µs of payload for each point. So it does for ranges and for values that are not filed; by name, a filter
  takes 1 ms at 20,000 points where reading takes 200.
- Files are mapped cold: the engine would otherwise read in the room that it reserves, 50 MB a shard.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import qdrant_edge as edge

from retrieval.errors import DiskFull, IndexCorrupt
from retrieval.index.edge.room import says_full
from retrieval.index.point import IndexPoint, joined_document_id, point_digest
from retrieval.lexical.terms import SparseWeights

DENSE = "dense"
LEXICAL = "lexical"
NAMES = "names"
_NEVER_KB = 10**9
_INDEXED_FROM = 500
_SCROLL = 1000
_INT64 = 2**63
_LONGEST_NAMED = 128  # characters of a text


def configuration(dimension: int) -> edge.EdgeConfig:
    """The one configuration that shards are created and loaded with."""
    return edge.EdgeConfig(
        vectors={
            DENSE: edge.EdgeVectorParams(size=dimension, distance=edge.Distance.Dot, memory=edge.Memory.Cold)
        },
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
    return edge.EdgeShard.create(str(directory), configuration(dimension))


def load(directory: Path, dimension: int, subject: object) -> edge.EdgeShard:
    """An existing shard. Raises IndexCorrupt where the engine cannot load it, DiskFull for want of room."""
    try:
        return edge.EdgeShard.load(str(directory), configuration(dimension))
    except Exception as error:  # the engine raises nothing more precise
        if says_full(error):  # it writes its configuration again whenever it opens
            raise DiskFull(f"{subject} cannot be opened on a full disk: free some room") from error
        raise IndexCorrupt(f"the index engine cannot open {subject}: `holdfast rebuild` ({error})") from error


def upsert(shard: edge.EdgeShard, points: Sequence[IndexPoint]) -> None:
    """Add or replace points."""
    shard.update(edge.UpdateOperation.upsert_points([_to_engine(point) for point in points]))


def delete(shard: edge.EdgeShard, chunk_ids: Sequence[str]) -> None:
    """Remove points."""
    shard.update(edge.UpdateOperation.delete_points(list(chunk_ids)))


def index_names(shard: edge.EdgeShard) -> None:
    """Index the names of a shard that is large enough. Indexing twice is no error."""
    if shard.count(edge.CountRequest(exact=True)) >= _INDEXED_FROM:
        parameters = edge.KeywordIndexParams(memory=edge.Memory.Cold)
        shard.update(edge.UpdateOperation.create_field_index(NAMES, parameters))


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
    """The payload as it was given: the names that filters need are derived, so checked and left out."""
    stored = dict(record.payload or {})
    if stored.pop(NAMES, None) != _names(stored):
        raise IndexCorrupt(f"chunk {record.id} is filed under another document or metadata than its own")
    return stored


def source_name(source: str) -> str:
    """How a chunk's source is filed among its names."""
    return f"s{source}"


def document_name(document: str) -> str:
    """How its document's key is filed, whatever the source."""
    return f"d{document}"


def document_id_name(source: str, document: str) -> str:
    """How the two together are filed."""
    return f"i{joined_document_id(source, document)}"


def value_name(field: str, value: object) -> str | None:
    """How a value of a metadata field is filed; None for one that is not: a long text, a float, an object.

    The field's length keeps `a` of `bc` and `ab` of `c` apart. A whole number beyond 64 bits is none to the engine.
    """
    if isinstance(value, bool):  # the engine's Python binding cannot match these at all
        return f"b{len(field)}:{field}{str(value).lower()}"
    if isinstance(value, int):
        return f"n{len(field)}:{field}{value}" if -_INT64 <= value < _INT64 else None
    if isinstance(value, str):
        return f"t{len(field)}:{field}{value}" if len(value) <= _LONGEST_NAMED else None
    return None


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


def _names(payload: dict[str, Any]) -> list[str]:
    source, document = payload["source"], payload["document"]
    values = {
        value_name(field, value)
        for field, held in (payload.get("metadata") or {}).items()
        for value in (held if isinstance(held, list | tuple) else [held])
    }
    names = [source_name(source), document_name(document), document_id_name(source, document)]
    return [*names, *sorted(name for name in values if name is not None)]


def _to_engine(point: IndexPoint) -> edge.Point:
    weights = edge.SparseVector(point.weights.indices.tolist(), point.weights.values.tolist())
    stored = point.payload | {NAMES: _names(point.payload)}
    return edge.Point(point.chunk_id, {DENSE: point.vector.tolist(), LEXICAL: weights}, stored)
