"""The search: one snapshot, one generation, two lists, one ranking."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Protocol

from sqlalchemy.orm import Session

from registry.clock import Clock, utc_now
from registry.database import Registry
from registry.schema import Tenant
from retrieval.errors import FloorUnmet, IndexUnavailable
from retrieval.fusion import fuse_dbsf, fuse_rrf
from retrieval.index.filter import Filter
from retrieval.index.store import GenerationRef, GenerationStore, Reader, Scored
from retrieval.lexical.analyzer import Analyzer
from retrieval.lexical.bm25 import query_weights
from retrieval.search.encoders import Encoders
from retrieval.search.filtering import filter_of
from retrieval.search.floor import judge
from retrieval.search.query import Answer, Hit, SearchQuery
from retrieval.search.snapshot import Live, Snapshot, of_generation, of_served, take


class Serving(Protocol):
    """Which generation answers for the live one; see `retrieval.api.serving`."""

    def ready(self, tenant_id: str, live: Live) -> int | None:
        """At once, or None."""
        ...

    def switched(self, tenant_id: str, live: Live) -> int:
        """After waiting, without a transaction."""
        ...


class Searcher:
    """Searches tenants' generations. Safe to share between threads."""

    def __init__(
        self, registry: Registry, store: GenerationStore, encoders: Encoders, clock: Clock = utc_now
    ) -> None:
        self._registry = registry
        self._store = store
        self._encoders = encoders
        self._clock = clock

    def search(
        self, tenant_id: str, query: SearchQuery, *, as_of: int | None = None, candidate: int | None = None
    ) -> Answer:
        """Answer from the live generation, a retained one (`as_of`) or a candidate.

        What was deleted since is left out. Raises NothingPublished, GenerationNotServed, FloorUnmet,
        TenantSuspended, InvalidQuery for a filter, and what opening an index raises.
        """
        started = time.perf_counter()
        with self._registry.read() as session:
            snapshot = take(session, tenant_id, as_of, candidate)
        return self._answer(snapshot, query, started)

    def search_served(
        self, who: Callable[[Session], Tenant], query: SearchQuery, serving: Serving, as_of: int | None = None
    ) -> Answer:
        """As `search`, for a tenant that `who` finds; `serving` says which generation is the live one.

        `who` looks and the snapshot is taken in one read: a key that is revoked, a tenant that is suspended
        and a document that is deleted before that read are so for this answer.
        """
        started = time.perf_counter()
        try:
            return self._answer(self._snapshot(who, serving, as_of), query, started)
        except IndexUnavailable:
            if as_of is not None:
                raise
            # Retired and removed between the snapshot and the opening: the pointer moved on.
            return self._answer(self._snapshot(who, serving, as_of), query, started)

    def _snapshot(self, who: Callable[[Session], Tenant], serving: Serving, as_of: int | None) -> Snapshot:
        switched: int | None = None
        while True:
            with self._registry.read() as session:
                tenant = who(session)
                if as_of is not None:
                    return of_generation(session, tenant, as_of, servable=True)
                live, snapshot = of_served(session, tenant, switched or partial(serving.ready, tenant.id))
            if snapshot is not None:
                return snapshot
            switched = serving.switched(tenant.id, live)

    def _answer(self, snapshot: Snapshot, query: SearchQuery, started: float) -> Answer:
        looked_up = time.perf_counter()
        ref = GenerationRef(snapshot.tenant_id, snapshot.generation)
        with self._store.open(ref, snapshot.model_id) as reader:
            answer = self._ask(reader, snapshot, query, started, looked_up)
        if answer.floor.action == "refused":
            raise FloorUnmet(answer)
        return answer

    def _ask(
        self, reader: Reader, snapshot: Snapshot, query: SearchQuery, started: float, looked_up: float
    ) -> Answer:
        filter_ = filter_of(query, snapshot.hidden)
        limit = max(snapshot.contract.candidates, query.k * (4 if query.collapse else 1))
        encoding, dense, lexical = self._lists(reader, snapshot, query, limit, filter_)
        fused = _fuse(snapshot, dense, lexical)
        searched = time.perf_counter()
        payloads, best = _best(reader, fused, query)
        finished = time.perf_counter()
        return Answer(
            snapshot.tenant,
            snapshot.generation,
            snapshot.sources,
            snapshot.quiescent,
            (self._clock() - snapshot.published_at).total_seconds(),
            len(snapshot.hidden),
            judge(snapshot.contract, dense, lexical, len(best)),
            _hits(best, payloads, dense, lexical),
            {
                "registry_ms": _ms(looked_up - started),
                "encode_ms": _ms(encoding),
                "index_ms": _ms(searched - looked_up - encoding),
                "fetch_ms": _ms(finished - searched),
                "total_ms": _ms(finished - started),
            },
            snapshot.contract_hash,
        )

    def _lists(
        self, reader: Reader, snapshot: Snapshot, query: SearchQuery, limit: int, filter_: Filter
    ) -> tuple[float, list[Scored] | None, list[Scored] | None]:
        if query.mode == "lexical":
            return 0.0, None, reader.lexical(_terms(query.text, snapshot.analyzer), limit, filter_)
        started = time.perf_counter()
        vector = self._encoders.of(snapshot.model_id).encode([query.text])[0]
        encoding = time.perf_counter() - started
        if query.mode == "dense":
            return encoding, reader.dense(vector, limit, filter_), None
        dense, lexical = reader.both(vector, _terms(query.text, snapshot.analyzer), limit, filter_)
        return encoding, dense, lexical


@lru_cache(maxsize=16)
def analyzer(language: str) -> Analyzer:
    """One analyzer per language and process: it remembers the stems that it has seen."""
    return Analyzer(language)


def _terms(text: str, analyzer_id: str) -> Any:  # noqa: ANN401
    return query_weights(analyzer(analyzer_id.split("-", 1)[0]).terms(text))


def _fuse(snapshot: Snapshot, dense: list[Scored] | None, lexical: list[Scored] | None) -> list[Scored]:
    if dense is None or lexical is None:
        return (dense if lexical is None else lexical) or []
    fuse = fuse_dbsf if snapshot.contract.fusion == "dbsf" else fuse_rrf
    return fuse([dense, lexical], [snapshot.contract.dense_weight, snapshot.contract.lexical_weight])


def _best(
    reader: Reader, fused: Sequence[Scored], query: SearchQuery
) -> tuple[Mapping[str, dict[str, Any]], list[Scored]]:
    if query.collapse is None:
        best = list(fused[: query.k])
        return reader.retrieve([hit.chunk_id for hit in best]), best
    payloads: dict[str, dict[str, Any]] = {}
    best_of: dict[tuple[str, str], Scored] = {}
    # Only as far down as it takes: payloads carry the text.
    for start in range(0, len(fused), 2 * query.k):
        batch = fused[start : start + 2 * query.k]
        payloads.update(reader.retrieve([hit.chunk_id for hit in batch]))
        for hit in batch:
            payload = payloads[hit.chunk_id]
            best_of.setdefault((payload["source"], payload["document"]), hit)
        if len(best_of) >= query.k:
            break
    return payloads, list(best_of.values())[: query.k]


def _hits(
    best: Sequence[Scored],
    payloads: Mapping[str, dict[str, Any]],
    dense: Sequence[Scored] | None,
    lexical: Sequence[Scored] | None,
) -> list[Hit]:
    cosine = {hit.chunk_id: hit.score for hit in dense or ()}
    bm25 = {hit.chunk_id: hit.score for hit in lexical or ()}
    return [
        Hit(
            chunk_id=hit.chunk_id,
            score=hit.score,
            dense_score=cosine.get(hit.chunk_id),
            lexical_score=bm25.get(hit.chunk_id),
            **{
                name: payloads[hit.chunk_id][name]
                for name in (
                    "source",
                    "document",
                    "title",
                    "uri",
                    "text",
                    "version",
                    "position",
                    "stale",
                    "metadata",
                )
            },
        )
        for hit in best
    ]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
