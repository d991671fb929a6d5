"""The search: one snapshot, one generation, two lists, one ranking."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, Protocol

from sqlalchemy.orm import Session

from registry.clock import Clock, utc_now
from registry.contract import Contract
from registry.database import Registry
from registry.schema import Tenant
from retrieval.errors import FloorUnmet, IndexUnavailable
from retrieval.fusion import fuse_dbsf, fuse_rrf
from retrieval.index.filter import Filter
from retrieval.index.store import GenerationRef, GenerationStore, Reader, Scored
from retrieval.lexical.analyzer import Analyzer
from retrieval.lexical.bm25 import query_weights
from retrieval.search.collapsing import Ask, Fuse, Lists, Payloads, best_of_documents
from retrieval.search.encoders import Encoders
from retrieval.search.filtering import filter_of
from retrieval.search.floor import judge
from retrieval.search.query import Answer, Hit, SearchQuery
from retrieval.search.snapshot import Live, Snapshot, of_generation, of_served, take

# Fields of a chunk's payload that are fields of a hit.
_PAYLOAD = ("source", "document", "title", "uri", "text", "version", "position", "stale", "metadata")


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

        def snapshot() -> Snapshot:
            with self._registry.read() as session:
                return take(session, tenant_id, as_of, candidate)

        return self._answered(snapshot, query)

    def search_served(
        self, who: Callable[[Session], Tenant], query: SearchQuery, serving: Serving, as_of: int | None = None
    ) -> Answer:
        """As `search`, for a tenant that `who` finds; `serving` says which generation is the live one.

        `who` looks and the snapshot is taken in one read: a key that is revoked, a tenant that is suspended
        and a document that is deleted before that read are so for this answer.
        """
        return self._answered(partial(self._snapshot, who, serving, as_of), query)

    def _answered(self, snapshot: Callable[[], Snapshot], query: SearchQuery) -> Answer:
        started = time.perf_counter()
        try:
            return self._answer(snapshot(), query, started)
        except IndexUnavailable:
            # Retired and removed between the snapshot and the opening: the pointer moved on, and a new one says so.
            return self._answer(snapshot(), query, started)

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
        where = filter_of(query, snapshot.hidden)
        encoding, ask = self._question(reader, snapshot, query)
        payloads = Payloads(reader)
        best, lists = _best(payloads, ask, partial(_fuse, snapshot.contract), snapshot, query, where)
        hits = _hits(best, payloads.of(best), lists)
        finished = time.perf_counter()
        return Answer(
            snapshot.tenant,
            snapshot.generation,
            snapshot.sources,
            snapshot.quiescent,
            (self._clock() - snapshot.published_at).total_seconds(),
            len(snapshot.hidden),
            judge(snapshot.contract, lists.dense, lists.lexical, len(best)),
            hits,
            {
                "registry_ms": _ms(looked_up - started),
                "encode_ms": _ms(encoding),
                "index_ms": _ms(finished - looked_up - encoding - payloads.seconds),
                "fetch_ms": _ms(payloads.seconds),
                "total_ms": _ms(finished - started),
            },
            snapshot.contract_hash,
        )

    def _question(self, reader: Reader, snapshot: Snapshot, query: SearchQuery) -> tuple[float, Ask]:
        """How to ask the sides of the mode, the query being encoded, and how long that took, in seconds."""
        terms = None if query.mode == "dense" else _terms(query.text, snapshot.analyzer)
        if terms is not None and query.mode == "lexical":
            return 0.0, lambda limit, where: Lists(None, reader.lexical(terms, limit, where))
        started = time.perf_counter()
        vector = self._encoders.of(snapshot.model_id).encode([query.text])[0]
        encoding = time.perf_counter() - started
        if terms is None:
            return encoding, lambda limit, where: Lists(reader.dense(vector, limit, where), None)
        return encoding, lambda limit, where: Lists(*reader.both(vector, terms, limit, where))


@lru_cache(maxsize=16)
def analyzer(language: str) -> Analyzer:
    """One analyzer per language and process: it remembers the stems that it has seen."""
    return Analyzer(language)


def _terms(text: str, analyzer_id: str) -> Any:  # noqa: ANN401
    return query_weights(analyzer(analyzer_id.split("-", 1)[0]).terms(text))


def _best(
    payloads: Payloads, ask: Ask, fuse: Fuse, snapshot: Snapshot, query: SearchQuery, where: Filter
) -> tuple[list[Scored], Lists]:
    if query.collapse:
        limit = max(snapshot.contract.candidates, 4 * query.k)
        return best_of_documents(payloads, ask, fuse, query.k, limit, where)
    lists = ask(max(snapshot.contract.candidates, query.k), where)
    return fuse(lists)[: query.k], lists


def _fuse(contract: Contract, lists: Lists) -> list[Scored]:
    if lists.dense is None or lists.lexical is None:
        return (lists.dense if lists.lexical is None else lists.lexical) or []
    fuse = fuse_dbsf if contract.fusion == "dbsf" else fuse_rrf
    return fuse([lists.dense, lists.lexical], [contract.dense_weight, contract.lexical_weight])


def _hits(best: Sequence[Scored], payloads: Sequence[dict[str, Any]], lists: Lists) -> list[Hit]:
    cosine = {hit.chunk_id: hit.score for hit in lists.dense or ()}
    bm25 = {hit.chunk_id: hit.score for hit in lists.lexical or ()}
    return [
        Hit(
            chunk_id=hit.chunk_id,
            score=hit.score,
            dense_score=cosine.get(hit.chunk_id),
            lexical_score=bm25.get(hit.chunk_id),
            **{name: payload[name] for name in _PAYLOAD},
        )
        for hit, payload in zip(best, payloads, strict=True)
    ]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
