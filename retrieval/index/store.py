"""What every index store is: generations staged, sealed, opened, searched and removed.

A generation is immutable once sealed. Implementations: `retrieval.index.edge` (embedded). One contract suite
holds them all. Importing this module imports no engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from retrieval.index.filter import Filter
from retrieval.index.point import IndexPoint
from retrieval.lexical.terms import SparseWeights

EVERYTHING = Filter()


class Scored(NamedTuple):
    """One hit: a chunk and its score. Higher is better."""

    chunk_id: str
    score: float


@dataclass(frozen=True, order=True)
class GenerationRef:
    """A tenant's generation. Numbers start at 1 and are never reused."""

    tenant: str
    number: int

    def __str__(self) -> str:
        return f"generation {self.number} of tenant {self.tenant}"


@dataclass(frozen=True)
class IndexSpec:
    """What a generation was built with. model: the registry's id of the embedding model; dimension: of its
    vectors; average_length_step: of `retrieval.lexical.bm25.grid_value`; analyzer: `Analyzer.id`.
    """

    model: str
    dimension: int
    average_length_step: int
    analyzer: str


@dataclass(frozen=True)
class SealedGeneration:
    """digest: SHA-256 over every chunk id and point digest in order, read back from the engine."""

    digest: str
    points: int


class Stage(AbstractContextManager["Stage"], Protocol):
    """A generation being built. Leaving it without `seal` leaves nothing behind."""

    @property
    def token(self) -> str:
        """Names this stage to `discard_stages`."""
        ...

    def digests(self) -> dict[str, str]:
        """chunk id -> point digest of what is staged now, computed from the engine's own points."""
        ...

    def upsert(self, points: Iterable[IndexPoint]) -> int:
        """Add or replace points; returns how many. Raises DimensionMismatch."""
        ...

    def delete(self, chunk_ids: Iterable[str]) -> int:
        """Remove points; returns how many ids were given. An absent one is no error."""
        ...

    def seal(self, expected: str | None = None) -> SealedGeneration:
        """Make the generation durable and openable. Nothing can be staged afterwards.

        Raises IndexCorrupt, and seals nothing, where `expected` is another digest than what was staged has.
        """
        ...


class Reader(AbstractContextManager["Reader"], Protocol):
    """An open generation, safe to share between threads. It cannot be removed until closed.

    Every ranking is exact, ordered by (-score, chunk id), and independent of how the engine laid points out.
    """

    @property
    def ref(self) -> GenerationRef: ...

    @property
    def spec(self) -> IndexSpec: ...

    @property
    def digest(self) -> str:
        """The content digest that the generation was sealed with."""
        ...

    def count(self) -> int:
        """Points in the generation."""
        ...

    def dense(self, vector: npt.NDArray[np.float32], limit: int, where: Filter = EVERYTHING) -> list[Scored]:
        """The `limit` nearest chunks by inner product with a (dim,) vector. Raises DimensionMismatch."""
        ...

    def lexical(self, weights: SparseWeights, limit: int, where: Filter = EVERYTHING) -> list[Scored]:
        """The `limit` best chunks by BM25 among those that share a term with the query."""
        ...

    def both(
        self,
        vector: npt.NDArray[np.float32],
        weights: SparseWeights,
        limit: int,
        where: Filter = EVERYTHING,
    ) -> tuple[list[Scored], list[Scored]]:
        """`dense` and `lexical` on the same filter."""
        ...

    def retrieve(self, chunk_ids: Sequence[str]) -> Mapping[str, dict[str, Any]]:
        """chunk id -> payload of those that exist."""
        ...

    def points(self, batch: int = 1000) -> Iterator[IndexPoint]:
        """Every point in order of its chunk id."""
        ...

    def close(self) -> None:
        """Let go of the generation. Closing twice is no error."""
        ...


class GenerationStore(Protocol):
    """Where the generations of all tenants are kept. Nothing is shared between two tenants."""

    def stage(
        self, ref: GenerationRef, spec: IndexSpec, base: GenerationRef | None = None, *, replace: bool = False
    ) -> Stage:
        """Begin a generation, empty or as a copy of `base`. With `replace` it takes the place of a damaged one.

        Raises GenerationExists, and for the base IndexUnavailable, IndexCorrupt, ModelMismatch; DiskFull.
        """
        ...

    def open(self, ref: GenerationRef, model: str | None = None) -> Reader:
        """Open a sealed generation, verified. Raises IndexUnavailable, IndexCorrupt, ModelMismatch."""
        ...

    def remove(self, ref: GenerationRef) -> bool:
        """Remove a generation for good: False while a reader of any process holds it. Absent is True."""
        ...

    def erase(self, tenant: str) -> int:
        """Remove all of a tenant, also what readers hold: their next queries may raise IndexUnavailable.

        Returns how many generations were held.
        """
        ...

    def generations(self, tenant: str) -> list[int]:
        """Numbers of the sealed generations, ascending."""
        ...

    def size_bytes(self, ref: GenerationRef) -> int:
        """Bytes allocated on disk. Raises IndexUnavailable."""
        ...

    def discard_stages(self, tenant: str, except_token: str | None = None) -> int:
        """Remove what dead processes left of stages and removals; returns how many. Living stages stay."""
        ...

    def close(self) -> None:
        """Close whatever is open in this process."""
        ...
