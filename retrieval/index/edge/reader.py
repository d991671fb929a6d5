"""An open generation of the embedded index."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval.errors import DimensionMismatch
from retrieval.index.edge.conditions import engine_filter
from retrieval.index.edge.lock import GenerationLock
from retrieval.index.edge.search import OpenShard
from retrieval.index.edge.shard import stored_points
from retrieval.index.filter import Filter
from retrieval.index.manifest import Manifest
from retrieval.index.point import IndexPoint
from retrieval.index.store import EVERYTHING, GenerationRef, IndexSpec, Scored
from retrieval.lexical.terms import SparseWeights


class EdgeReader:
    """Holds the generation's lock, not its shard: a shard that was pushed out is opened again by a query."""

    def __init__(
        self,
        manifest: Manifest,
        lock: GenerationLock,
        shard: Callable[[], AbstractContextManager[OpenShard]],
    ) -> None:
        self._manifest = manifest
        self._lock = lock
        self._use = shard
        self._closed = False

    @property
    def ref(self) -> GenerationRef:
        return self._manifest.ref

    @property
    def spec(self) -> IndexSpec:
        return self._manifest.spec

    @property
    def digest(self) -> str:
        return self._manifest.digest

    def count(self) -> int:
        return self._manifest.points

    def dense(self, vector: npt.NDArray[np.float32], limit: int, where: Filter = EVERYTHING) -> list[Scored]:
        if vector.shape != (self.spec.dimension,):
            raise DimensionMismatch(f"the query vector for {self.ref}", self.spec.dimension, vector.size)
        if where.keeps_nothing:
            return []
        with self._shard() as shard:
            return shard.dense(vector, limit, engine_filter(where))

    def lexical(self, weights: SparseWeights, limit: int, where: Filter = EVERYTHING) -> list[Scored]:
        if where.keeps_nothing:
            return []
        with self._shard() as shard:
            return shard.lexical(weights, limit, engine_filter(where))

    def both(
        self,
        vector: npt.NDArray[np.float32],
        weights: SparseWeights,
        limit: int,
        where: Filter = EVERYTHING,
    ) -> tuple[list[Scored], list[Scored]]:
        """Two calls: one batched call of the engine takes half as long again."""
        return self.dense(vector, limit, where), self.lexical(weights, limit, where)

    def retrieve(self, chunk_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        with self._shard() as shard:
            return shard.retrieve(chunk_ids)

    def points(self, batch: int = 1000) -> Iterator[IndexPoint]:
        with self._shard() as shard:
            for point in stored_points(shard.shard, batch):
                yield point.to_point()

    def close(self) -> None:
        self._closed = True
        self._lock.release()

    def __enter__(self) -> EdgeReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _shard(self) -> AbstractContextManager[OpenShard]:
        if self._closed:
            raise ValueError(f"the reader of {self.ref} is closed")
        return self._use()
