"""The two shapes of the lexical side: how often each term occurs in a text, and what each term weighs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class TermCounts:
    """indices: (n,) uint32 term ids, ascending and unique; counts: (n,) uint32; length: tokens."""

    indices: npt.NDArray[np.uint32]
    counts: npt.NDArray[np.uint32]
    length: int

    @classmethod
    def of(cls, counts: Mapping[int, int]) -> Self:
        """From a mapping of term id to occurrences."""
        ordered = sorted(counts.items())
        indices = np.array([term for term, _ in ordered], dtype=np.uint32)
        values = np.array([count for _, count in ordered], dtype=np.uint32)
        return cls(indices, values, int(values.sum()))


@dataclass(frozen=True, eq=False)
class SparseWeights:
    """indices: (n,) uint32 term ids, ascending and unique; values: (n,) float32, finite, one per index.

    Raises ValueError where that does not hold: a wrong weight would be found only as a wrong ranking.
    """

    indices: npt.NDArray[np.uint32]
    values: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.indices.dtype != np.uint32 or self.values.dtype != np.float32:
            raise ValueError(
                f"sparse weights are {self.indices.dtype}/{self.values.dtype}, not uint32/float32"
            )
        if self.indices.ndim != 1 or self.indices.shape != self.values.shape:
            raise ValueError("sparse weights need one value per index")
        if len(self.indices) > 1 and not bool(np.all(self.indices[1:] > self.indices[:-1])):
            raise ValueError("term ids must ascend without repeating")
        if not bool(np.isfinite(self.values).all()):
            raise ValueError("a term's weight is not a finite number")
