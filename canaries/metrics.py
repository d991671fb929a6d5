"""Recall and reciprocal rank of one ranking, at document level."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from statistics import fmean


def names_document(relevant: str, document: str) -> bool:
    """Whether a judgement's id means this document: its key, or the `_id` behind the key's `#`."""
    return relevant == document or ("#" in document and relevant == document.rsplit("#", 1)[1])


def recall_at(found: Sequence[str], relevant: Collection[str], k: int) -> float:
    """Share of the relevant documents among the first k. `relevant` must not be empty."""
    top = found[:k]
    return sum(any(names_document(r, d) for d in top) for r in relevant) / len(relevant)


def reciprocal_rank(found: Sequence[str], relevant: Collection[str], k: int) -> float:
    """1 / rank of the first relevant document among the first k; 0 where there is none."""
    for rank, document in enumerate(found[:k], start=1):
        if any(names_document(r, document) for r in relevant):
            return 1 / rank
    return 0.0


def mean(values: Sequence[float]) -> float | None:
    """The mean; None of nothing, because no measurement is not a zero."""
    return fmean(values) if values else None
