"""The best chunk of each document.

A document may have more chunks than there are candidates, and would then be all that is found. Where documents are
wanted and too few are among the candidates, the next ones are asked for without the documents that are known.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from retrieval.index.filter import Filter
from retrieval.index.store import Reader, Scored

_WIDER = 4  # times as many candidates in each further round: there are never more than a handful


class Lists(NamedTuple):
    """What each side found, best first; None: that side was not asked."""

    dense: list[Scored] | None
    lexical: list[Scored] | None

    def shorter_than(self, limit: int) -> bool:
        """Whether that is all there is, on either side."""
        return all(len(found) < limit for found in self if found is not None)

    def then(self, further: Lists) -> Lists:
        """These, and after them those that the same question found among what was left."""
        return Lists(_joined(self.dense, further.dense), _joined(self.lexical, further.lexical))


def _joined(before: list[Scored] | None, after: list[Scored] | None) -> list[Scored] | None:
    """A side that weighs nothing may have shown documents that the ranking leaves out: it names them again."""
    if before is None or after is None:
        return None
    known = {hit.chunk_id for hit in before}
    return before + [hit for hit in after if hit.chunk_id not in known]


class Payloads:
    """What is stored of chunks, each read once. seconds: that reading took."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._known: dict[str, dict[str, Any]] = {}
        self.seconds = 0.0

    def of(self, hits: Sequence[Scored]) -> list[dict[str, Any]]:
        """Those of hits, in their order."""
        started = time.perf_counter()
        self._known.update(self._reader.retrieve([h.chunk_id for h in hits if h.chunk_id not in self._known]))
        self.seconds += time.perf_counter() - started
        return [self._known[hit.chunk_id] for hit in hits]


Ask = Callable[[int, Filter], Lists]
Fuse = Callable[[Lists], list[Scored]]


def best_of_documents(
    payloads: Payloads, ask: Ask, fuse: Fuse, k: int, limit: int, where: Filter
) -> tuple[list[Scored], Lists]:
    """The best chunk of each of the `k` best documents: fewer only where no other document matches.

    `limit` candidates of each side are asked for first. A further round leaves out every document that is known
    and takes more candidates, so that it finds another one or the last. Within one side its hits follow those of
    the rounds before, as in one longer list.
    """
    lists = ask(limit, where)
    best, exhausted = _by_document(payloads, fuse(lists), k), lists.shorter_than(limit)
    while len(best) < k and not exhausted:
        limit *= _WIDER
        further = ask(limit, replace(where, hidden=where.hidden.union(best)))
        lists, exhausted = lists.then(further), further.shorter_than(limit)
        best = _by_document(payloads, fuse(lists), k)
    return list(best.values())[:k], lists


def _by_document(payloads: Payloads, fused: list[Scored], k: int) -> dict[tuple[str, str], Scored]:
    """The best hit of each document, only as far down as it takes for `k`: payloads carry the text."""
    best: dict[tuple[str, str], Scored] = {}
    for start in range(0, len(fused), 2 * k):
        batch = fused[start : start + 2 * k]
        for hit, payload in zip(batch, payloads.of(batch), strict=True):
            best.setdefault((payload["source"], payload["document"]), hit)
        if len(best) >= k:
            break
    return best
