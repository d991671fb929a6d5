"""Exact dense and lexical search over one open shard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

import numpy as np
import numpy.typing as npt
import qdrant_edge as edge

from retrieval.errors import IndexCorrupt
from retrieval.index.chunk_ids import Identifiers, identifiers, texts
from retrieval.index.edge.shard import DENSE, LEXICAL, payload
from retrieval.index.postings import Postings
from retrieval.index.ranking import candidates
from retrieval.index.store import Scored
from retrieval.lexical.terms import SparseWeights

_EXACT = edge.SearchParams(exact=True)
_FLOAT32_STEP = 2.0**-23


class OpenShard:
    """An engine's shard with the postings of its generation."""

    def __init__(self, shard: edge.EdgeShard, postings: Postings) -> None:
        self.shard = shard
        self.postings = postings

    def close(self) -> None:
        self.shard.close()

    def dense(self, vector: npt.NDArray[np.float32], limit: int, where: edge.Filter | None) -> list[Scored]:
        """Engine scores: they depend on the two vectors alone."""
        query = edge.Query.Nearest(vector.tolist(), DENSE)

        def fetch(wanted: int) -> list[edge.ScoredPoint]:
            return self.shard.query(edge.QueryRequest(limit=wanted, query=query, filter=where, params=_EXACT))

        found = candidates(fetch, limit)
        return _best(_identifiers(found), np.array([hit.score for hit in found]), limit)

    def lexical(self, weights: SparseWeights, limit: int, where: edge.Filter | None) -> list[Scored]:
        """Candidates by the engine, scores by the generation's postings."""
        factors = self.postings.factors(weights)
        if not len(factors.positions):
            return []
        # Each product and each sum rounds once in float32, on either side of the cut.
        tolerance = 2 * (len(factors.positions) + 4) * _FLOAT32_STEP
        found = candidates(lambda wanted: self._by_terms(weights, wanted, where), limit, tolerance)
        ascending = np.sort(_identifiers(found))
        rows = self.postings.chunk_ids.rows(ascending)
        return _best(ascending, self.postings.scores(rows, factors), limit)

    def retrieve(self, chunk_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """chunk id -> payload of those that exist."""
        found = self.shard.retrieve(list(chunk_ids), with_payload=True, with_vector=False)
        return {str(record.id): payload(record) for record in found}

    def check_statistics(self, subject: object) -> None:
        """Compare the engine's inverse document frequencies with ours, on rare and on common terms.

        Raises IndexCorrupt: then deleted points still count, and candidates would be chosen by wrong scores.
        """
        terms = self.postings.terms[np.argsort(self.postings.frequencies, kind="stable")]
        for term in terms[np.unique(np.linspace(0, len(terms) - 1, 8).astype(int))] if len(terms) else ():
            weights = SparseWeights(np.array([term], np.uint32), np.ones(1, np.float32))
            for hit in self._by_terms(weights, 1, None):
                rows = self.postings.chunk_ids.rows(_identifiers([hit]))
                ours = float(self.postings.scores(rows, self.postings.factors(weights))[0])
                if abs(hit.score - ours) > 1e-6 + 1e-5 * ours:
                    raise IndexCorrupt(
                        f"{subject}: the engine scores term {term} as {hit.score}, its postings as {ours}; "
                        "deleted points were not vacuumed"
                    )

    def _by_terms(
        self, weights: SparseWeights, limit: int, where: edge.Filter | None
    ) -> list[edge.ScoredPoint]:
        vector = edge.SparseVector(weights.indices.tolist(), weights.values.tolist())
        query = edge.Query.Nearest(vector, LEXICAL)
        # The engine's own corpus, without IdfParams: after the vacuum at sealing it is the live points that
        # have terms, as in Lucene. A corpus given by filter counts points without terms too, and costs
        # 0.6 ms a query at 50,000 points.
        return self.shard.query(edge.QueryRequest(limit=limit, query=query, filter=where, params=_EXACT))


def _identifiers(hits: Sequence[edge.ScoredPoint]) -> Identifiers:
    """Of all that is done for a hit, this costs most: the engine's binding makes a UUID of every id."""
    return identifiers([cast(UUID, hit.id).bytes for hit in hits])


def _best(chunk_ids: Identifiers, scores: npt.NDArray[np.float64], limit: int) -> list[Scored]:
    """As `retrieval.index.ranking.best`, on arrays."""
    order = np.lexsort((chunk_ids, -scores))[:limit]
    hits = zip(texts(chunk_ids[order]), scores[order].tolist(), strict=True)
    return list(map(Scored._make, hits))
