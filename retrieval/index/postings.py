"""A generation's BM25 weights by term, and the scores that follow from them.

An engine adds a document's term products in float32 and in an order that depends on how it laid the points
out, so that two copies of one generation can differ in the last bits. Candidates are therefore scored again
here: float64 sums in ascending order of the terms, the same wherever the points lie.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from retrieval.index.chunk_ids import ChunkIds, identifiers
from retrieval.lexical.bm25 import inverse_document_frequency
from retrieval.lexical.terms import SparseWeights

_BATCH = 1000
_HEADER = 4  # numbers at the head of the file: documents, rows, terms, postings
_ID = 4  # uint32 in a chunk id
_MAPPED_FROM = 1 << 20  # bytes; a mapping holds a descriptor, which small tenants are too many for
_Entries: TypeAlias = tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.float32]]


class Factors(NamedTuple):
    """Of a query's terms that occur in the generation, ascending. positions: (n,) into `Postings.terms`;
    products: (n,) float64, query weight times inverse document frequency.
    """

    positions: npt.NDArray[np.intp]
    products: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Postings:
    """Term by term, who holds it and with what weight.

    documents: rows that have any term; chunk_ids: (rows,), ascending; terms: (n,) uint32, ascending;
    offsets: (n + 1,) uint32, the slice of each term; rows: (offsets[-1],) uint32, ascending within a term;
    weights: (offsets[-1],) float32.
    """

    documents: int
    chunk_ids: ChunkIds
    terms: npt.NDArray[np.uint32]
    offsets: npt.NDArray[np.uint32]
    rows: npt.NDArray[np.uint32]
    weights: npt.NDArray[np.float32]

    @classmethod
    def of(cls, points: Iterable[tuple[str, npt.NDArray[np.uint32], npt.NDArray[np.float32]]]) -> Self:
        """From (chunk id, term ids, weights) of every point. Raises ValueError unless chunk ids ascend."""
        chunk_ids: list[bytes] = []
        documents = 0
        batches: list[_Entries] = []
        remaining = iter(points)
        while batch := list(islice(remaining, _BATCH)):
            batches.append(_by_term(batch, len(chunk_ids)))
            chunk_ids += [bytes.fromhex(chunk_id.replace("-", "")) for chunk_id, _, _ in batch]
            documents += sum(1 for _, indices, _ in batch if len(indices))
        return cls(documents, ChunkIds.of(identifiers(chunk_ids)), *_merged(batches))

    @classmethod
    def read(cls, path: Path) -> Self:
        """From a file that `write` wrote; a large one stays on disk until it is used."""
        mapped = path.stat().st_size > _MAPPED_FROM
        content = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False).view(np.ndarray)
        documents, count, terms, postings = content[:_HEADER].tolist()
        ends = np.cumsum([_HEADER, _ID * count, terms, terms + 1, postings, postings]).tolist()
        ids, words, offsets, rows, weights = (content[a:b] for a, b in pairwise(ends))
        return cls(documents, ChunkIds(ids), words, offsets, rows, weights.view(np.float32))

    def write(self, path: Path) -> None:
        """One .npy file of uint32: header, ids, terms, offsets, rows, weights; the same bytes every time."""
        header = [self.documents, len(self.chunk_ids), len(self.terms), len(self.rows)]
        parts = [np.array(header, np.uint32), self.chunk_ids.words, self.terms, self.offsets, self.rows]
        np.save(path, np.concatenate([*parts, self.weights.view(np.uint32)]))

    @property
    def frequencies(self) -> npt.NDArray[np.uint32]:
        """(n,) how many documents hold each term."""
        return np.diff(self.offsets)

    def factors(self, query: SparseWeights) -> Factors:
        """Of the query's terms that occur here."""
        if not len(self.terms):
            return Factors(np.empty(0, np.intp), np.empty(0))
        position = np.minimum(np.searchsorted(self.terms, query.indices), len(self.terms) - 1)
        known = self.terms[position] == query.indices
        found = position[known]
        frequencies = self.offsets[found + 1] - self.offsets[found]
        idf = inverse_document_frequency(frequencies, self.documents)
        return Factors(found, query.values[known].astype(np.float64) * idf)

    def scores(self, rows: npt.NDArray[np.intp], factors: Factors) -> npt.NDArray[np.float64]:
        """(n,) BM25 scores of some rows, which must ascend."""
        totals = np.zeros(len(rows))
        wanted = rows.astype(np.uint32)
        for position, product in zip(factors.positions.tolist(), factors.products.tolist(), strict=True):
            start, end = self.offsets[position], self.offsets[position + 1]
            holders = self.rows[start:end]
            at = np.minimum(np.searchsorted(holders, wanted), len(holders) - 1)
            held = self.weights[start:end][at].astype(np.float64)
            totals += np.where(holders[at] == wanted, held * product, 0.0)
        return totals


def _by_term(
    batch: list[tuple[str, npt.NDArray[np.uint32], npt.NDArray[np.float32]]], first: int
) -> _Entries:
    """(terms, rows, weights) of consecutive rows, ordered by (term, row)."""
    terms = np.concatenate([indices for _, indices, _ in batch])
    counts = [len(indices) for _, indices, _ in batch]
    rows = np.repeat(np.arange(first, first + len(batch), dtype=np.uint32), counts)
    order = np.argsort(terms, kind="stable")
    return terms[order], rows[order], np.concatenate([values for _, _, values in batch])[order]


def _merged(
    batches: list[_Entries],
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
    """(terms, offsets, rows, weights) of batches in order of their rows: a counting sort, batch by batch."""
    counted = [np.unique(terms, return_counts=True) for terms, _, _ in batches]
    terms = np.unique(np.concatenate([np.empty(0, np.uint32), *(found for found, _ in counted)]))
    totals = np.zeros(len(terms), np.int64)
    positions = [np.searchsorted(terms, found) for found, _ in counted]
    for position, (_, counts) in zip(positions, counted, strict=True):
        totals[position] += counts
    ends = np.concatenate([[0], np.cumsum(totals)])
    if ends[-1] >= 2**32:
        raise ValueError(f"{ends[-1]} postings do not fit one generation: split the tenant")
    rows, weights = np.empty(ends[-1], np.uint32), np.empty(ends[-1], np.float32)
    free = ends[:-1].copy()
    for position, (_, counts), (_, its_rows, its_weights) in zip(positions, counted, batches, strict=True):
        before = np.cumsum(counts) - counts
        target = np.repeat(free[position] - before, counts) + np.arange(len(its_rows))
        rows[target], weights[target] = its_rows, its_weights
        free[position] += counts
    return terms, ends.astype(np.uint32), rows, weights
