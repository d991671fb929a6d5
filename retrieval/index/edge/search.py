"""Exact dense and lexical search over one open shard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import qdrant_edge as edge

from retrieval.errors import IndexCorrupt
from retrieval.index.edge.shard import DENSE, LEXICAL, payload, sparse_vector
from retrieval.index.ranking import best, candidates
from retrieval.index.statistics import LexicalStatistics, lexical_score
from retrieval.index.store import Scored
from retrieval.lexical.terms import SparseWeights

_EXACT = edge.SearchParams(exact=True)
_FLOAT32_STEP = 2.0**-23


class OpenShard:
    """An engine's shard with the term statistics of its generation."""

    def __init__(self, shard: edge.EdgeShard, statistics: LexicalStatistics) -> None:
        self.shard = shard
        self.statistics = statistics

    def close(self) -> None:
        self.shard.close()

    def dense(self, vector: npt.NDArray[np.float32], limit: int, where: edge.Filter | None) -> list[Scored]:
        """Engine scores: they depend on the two vectors alone."""
        query = edge.Query.Nearest(vector.tolist(), DENSE)

        def fetch(wanted: int) -> list[Scored]:
            request = edge.QueryRequest(limit=wanted, query=query, filter=where, params=_EXACT)
            return [Scored(str(hit.id), hit.score) for hit in self.shard.query(request)]

        return best(candidates(fetch, limit), limit)

    def lexical(self, weights: SparseWeights, limit: int, where: edge.Filter | None) -> list[Scored]:
        """Candidates by the engine, scores by the generation's statistics."""
        factors = self.statistics.factors(weights)
        if not factors:
            return []
        scores: dict[str, float] = {}

        def fetch(wanted: int) -> list[Scored]:
            if wanted > limit + 1:  # a tie at the cut: weights are fetched once its length is known
                return [Scored(str(hit.id), hit.score) for hit in self._by_terms(weights, wanted, where)]
            hits = self._by_terms(weights, wanted, where, with_vector=[LEXICAL])
            found = [Scored(str(hit.id), hit.score) for hit in hits]
            scores.update(
                {kept.chunk_id: _score(hit, factors) for kept, hit in zip(found, hits, strict=True)}
            )
            return found

        # Each product and each sum rounds once in float32, on either side of the cut.
        found = candidates(fetch, limit, tolerance=2 * (len(factors) + 4) * _FLOAT32_STEP)
        scores.update(self._scores([hit.chunk_id for hit in found if hit.chunk_id not in scores], factors))
        return best((Scored(hit.chunk_id, scores[hit.chunk_id]) for hit in found), limit)

    def retrieve(self, chunk_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """chunk id -> payload of those that exist."""
        found = self.shard.retrieve(list(chunk_ids), with_payload=True, with_vector=False)
        return {str(record.id): payload(record) for record in found}

    def check_statistics(self, subject: object) -> None:
        """Compare the engine's inverse document frequencies with ours, on rare and on common terms.

        Raises IndexCorrupt: then deleted points still count, and candidates would be chosen by wrong scores.
        """
        terms = self.statistics.terms[np.argsort(self.statistics.frequencies, kind="stable")]
        for term in terms[np.unique(np.linspace(0, len(terms) - 1, 8).astype(int))] if len(terms) else ():
            weights = SparseWeights(np.array([term], np.uint32), np.ones(1, np.float32))
            factors = self.statistics.factors(weights)
            for hit in self._by_terms(weights, 1, None, with_vector=[LEXICAL]):
                ours = _score(hit, factors)
                if abs(hit.score - ours) > 1e-6 + 1e-5 * ours:
                    raise IndexCorrupt(
                        f"{subject}: the engine scores term {term} as {hit.score}, its "
                        f"statistics as {ours}; "
                        "deleted points were not vacuumed"
                    )

    def _by_terms(
        self,
        weights: SparseWeights,
        limit: int,
        where: edge.Filter | None,
        with_vector: bool | list[str] = False,
    ) -> list[edge.ScoredPoint]:
        vector = edge.SparseVector(weights.indices.tolist(), weights.values.tolist())
        # The engine's own corpus, without IdfParams: after the vacuum at sealing it is the live points that
        # have terms, as in Lucene. A corpus given by filter counts points without terms too, and costs
        # 0.6 ms a query at 50,000 points.
        return self.shard.query(
            edge.QueryRequest(
                limit=limit,
                query=edge.Query.Nearest(vector, LEXICAL),
                filter=where,
                params=_EXACT,
                with_vector=with_vector,
            )
        )

    def _scores(self, chunk_ids: list[str], factors: dict[int, float]) -> dict[str, float]:
        if not chunk_ids:
            return {}
        found = self.shard.retrieve(list(chunk_ids), with_payload=False, with_vector=[LEXICAL])
        return {str(record.id): _score(record, factors) for record in found}


def _score(record: edge.Record | edge.ScoredPoint, factors: dict[int, float]) -> float:
    stored = sparse_vector(record)
    return lexical_score(factors, stored.indices, stored.values)
