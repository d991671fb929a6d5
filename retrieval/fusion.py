"""One ranking out of several, by Qdrant's own definitions, so that embedded and server search agree.

Pure. Ties are broken by chunk id, so that equal inputs give equal outputs whatever engine ranked them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from retrieval.index.store import Scored


def fuse_dbsf(lists: Sequence[Sequence[Scored]], weights: Sequence[float] | None = None) -> list[Scored]:
    """Distribution-based score fusion: each list scaled by its own mean ± 3 standard deviations, then summed.

    A list of one, or of equal scores, says nothing about distance and counts 0.5 each. What a list misses
    counts 0. Qdrant, lib/segment/src/common/score_fusion.rs; weights (1 each by default) are ours.
    """
    contributions = (
        (hit.chunk_id, weight * score)
        for hits, weight in zip(lists, _weights(lists, weights), strict=True)
        for hit, score in zip(hits, _scaled([hit.score for hit in hits]), strict=True)
    )
    return _summed(contributions)


def fuse_rrf(
    lists: Sequence[Sequence[Scored]], weights: Sequence[float] | None = None, k: int = 60
) -> list[Scored]:
    """Reciprocal rank fusion: 1 / (rank/weight + k - 1), ranks from 1; a list of weight 0 counts nothing.

    Cormack, Clarke, Büttcher (2009) for equal weights, with Qdrant's offset of one and its way to weigh.
    """
    contributions = (
        (hit.chunk_id, 1 / (rank / weight + k - 1))
        for hits, weight in zip(lists, _weights(lists, weights), strict=True)
        if weight > 0
        for rank, hit in enumerate(hits, start=1)
    )
    return _summed(contributions)


def _weights(lists: Sequence[object], weights: Sequence[float] | None) -> Sequence[float]:
    if weights is None:
        return [1.0] * len(lists)
    if len(weights) != len(lists):
        raise ValueError(f"{len(weights)} weights for {len(lists)} lists")
    if any(not (weight >= 0 and math.isfinite(weight)) for weight in weights):
        raise ValueError(f"weights must be finite and not negative: {list(weights)}")
    return weights


def _scaled(scores: Sequence[float]) -> list[float]:
    if len(scores) < 2 or min(scores) == max(scores):
        return [0.5] * len(scores)
    values = np.asarray(scores, dtype=np.float64)
    offset = values - values.mean()
    deviation = math.sqrt(float(offset @ offset) / (len(scores) - 1))
    if deviation == 0:
        return [0.5] * len(scores)
    return ((offset + 3 * deviation) / (6 * deviation)).tolist()  # type: ignore[no-any-return]


def _summed(contributions: Iterable[tuple[str, float]]) -> list[Scored]:
    totals: dict[str, float] = {}
    for chunk_id, score in contributions:
        totals[chunk_id] = totals.get(chunk_id, 0.0) + score
    ordered = sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    return [Scored(chunk_id, score) for chunk_id, score in ordered]
