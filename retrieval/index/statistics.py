"""A generation's own term statistics, and the scores that follow from them.

An engine adds a document's term products in float32 and in an order that depends on how it laid the points
out, so that two copies of one generation can differ in the last bits. Candidates are therefore scored again
here: exactly rounded sums in float64, the same wherever the points lie.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from retrieval.lexical.bm25 import inverse_document_frequency
from retrieval.lexical.terms import SparseWeights

_BATCH = 1000


@dataclass(frozen=True, eq=False)
class LexicalStatistics:
    """documents: points that have any term; terms: (n,) uint32, ascending; frequencies: (n,) uint32."""

    documents: int
    terms: npt.NDArray[np.uint32]
    frequencies: npt.NDArray[np.uint32]

    @classmethod
    def of(cls, points: Iterable[npt.NDArray[np.uint32]]) -> Self:
        """From the term ids of every point."""
        documents = 0
        found = [np.empty(0, np.uint32)]
        counts = [np.empty(0, np.int64)]
        remaining = iter(points)
        while batch := list(islice(remaining, _BATCH)):
            documents += sum(1 for indices in batch if len(indices))
            terms, frequencies = np.unique(np.concatenate(batch), return_counts=True)
            found.append(terms)
            counts.append(frequencies)
        terms, position = np.unique(np.concatenate(found), return_inverse=True)
        totals = np.bincount(position, weights=np.concatenate(counts), minlength=len(terms))
        return cls(documents, terms, totals.astype(np.uint32))

    @classmethod
    def read(cls, path: Path) -> Self:
        """From a file that `write` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(int(arrays["documents"]), arrays["terms"], arrays["frequencies"])

    def write(self, path: Path) -> None:
        """To an .npz file; the same statistics give the same bytes."""
        np.savez(path, documents=np.int64(self.documents), terms=self.terms, frequencies=self.frequencies)

    def factors(self, query: SparseWeights) -> dict[int, float]:
        """term id -> query weight times inverse document frequency, of the terms that occur here."""
        if not len(self.terms):
            return {}
        position = np.minimum(np.searchsorted(self.terms, query.indices), len(self.terms) - 1)
        known = self.terms[position] == query.indices
        idf = inverse_document_frequency(self.frequencies[position[known]], self.documents)
        products = query.values[known].astype(np.float64) * idf
        return dict(zip(query.indices[known].tolist(), products.tolist(), strict=True))


def lexical_score(factors: Mapping[int, float], indices: Sequence[int], values: Sequence[float]) -> float:
    """The BM25 score of one document's weights (ascending term ids), correctly rounded."""
    products: list[float] = []
    for term, factor in factors.items():
        position = bisect_left(indices, term)
        if position < len(indices) and indices[position] == term:
            products.append(factor * values[position])
    return math.fsum(products)
