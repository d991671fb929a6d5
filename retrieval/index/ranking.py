"""The best of an engine's candidates, made independent of the engine's arbitrary choices.

Pure. An engine that is asked for ten hits picks any of those that tie for the tenth place, and float noise
decides between those that nearly tie. Asking until the tie has ended, and cutting by chunk id, removes both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from retrieval.index.store import Scored


class HasScore(Protocol):
    """Any engine's hit."""

    @property
    def score(self) -> float: ...


Hit = TypeVar("Hit", bound=HasScore)


def candidates(fetch: Callable[[int], Sequence[Hit]], limit: int, tolerance: float = 0.0) -> list[Hit]:
    """All that may belong to the `limit` best, of the hits that `fetch(n)` gives best first.

    tolerance: the relative error of those scores, both sides of the cut together. Raises ValueError unless
    limit is positive.
    """
    if limit < 1:
        raise ValueError(f"a search needs a limit of at least 1, not {limit}")
    wanted = limit + 1 + limit // 20  # short ties are common, and one larger question costs less than two
    while True:
        hits = fetch(wanted)
        if len(hits) <= limit:
            return list(hits)
        threshold = hits[limit - 1].score - tolerance * abs(hits[limit - 1].score)
        if len(hits) < wanted or hits[-1].score < threshold:
            return [hit for hit in hits if hit.score >= threshold]
        wanted *= 4


def best(scored: Iterable[Scored], limit: int) -> list[Scored]:
    """The `limit` best by (-score, chunk id)."""
    return sorted(scored, key=lambda hit: (-hit.score, hit.chunk_id))[:limit]
