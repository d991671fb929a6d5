"""The search: one snapshot, one generation, two lists, one ranking."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from registry.clock import Clock, utc_now
from registry.database import Registry
from retrieval.errors import FloorUnmet, InvalidQuery
from retrieval.fusion import fuse_dbsf, fuse_rrf
from retrieval.index.filter import Filter
from retrieval.index.store import GenerationRef, GenerationStore, Reader, Scored
from retrieval.lexical.analyzer import Analyzer
from retrieval.lexical.bm25 import query_weights
from retrieval.search.encoders import Encoders
from retrieval.search.floor import judge
from retrieval.search.query import MAX_K, Answer, Hit, SearchQuery
from retrieval.search.snapshot import Snapshot, take

Serving = Callable[[str, int], int]


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
        self,
        tenant_id: str,
        query: SearchQuery,
        *,
        as_of: int | None = None,
        candidate: int | None = None,
        serving: Serving | None = None,
    ) -> Answer:
        """Answer from one generation, minus what was deleted since.

        Raises InvalidQuery, NothingPublished, GenerationNotServed, FloorUnmet, TenantSuspended and what opening
        an index raises.
        """
        started = time.perf_counter()
        resolve = None if serving is None else (lambda live: serving(tenant_id, live))
        with self._registry.read() as session:
            snapshot = take(session, tenant_id, as_of, resolve, candidate)
        looked_up = time.perf_counter()
        with self._store.open(
            GenerationRef(snapshot.tenant_id, snapshot.generation), snapshot.model_id
        ) as reader:
            return self._answer(reader, snapshot, query, started, looked_up)

    def _answer(
        self, reader: Reader, snapshot: Snapshot, query: SearchQuery, started: float, looked_up: float
    ) -> Answer:
        filter_ = filter_of(query, snapshot.hidden)
        limit = max(snapshot.contract.candidates, query.k * (4 if query.collapse else 1))
        encoding, dense, lexical = self._lists(reader, snapshot, query, limit, filter_)
        fused = _fuse(snapshot, dense, lexical)
        searched = time.perf_counter()
        payloads, best = _best(reader, fused, query)
        floor = judge(snapshot.contract, dense, lexical, len(best))
        finished = time.perf_counter()
        answer = Answer(
            snapshot.tenant,
            snapshot.generation,
            snapshot.sources,
            snapshot.quiescent,
            (self._clock() - snapshot.published_at).total_seconds(),
            len(snapshot.hidden),
            floor,
            _hits(best, payloads, dense, lexical),
            {
                "registry_ms": _ms(looked_up - started),
                "encode_ms": _ms(encoding),
                "index_ms": _ms(searched - looked_up - encoding),
                "fetch_ms": _ms(finished - searched),
                "total_ms": _ms(finished - started),
            },
            snapshot.contract.hash,
        )
        if floor.action == "refused":
            raise FloorUnmet(answer)
        return answer

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


def filter_of(query: SearchQuery, hidden: frozenset[tuple[str, str]]) -> Filter:
    """The engine-neutral filter of a query. Raises InvalidQuery where a condition makes no sense."""
    conditions: dict[str, Any] = dict(query.filter)
    sources = _names(conditions.pop("source", None), "source")
    documents = _names(conditions.pop("document", None), "document")
    try:
        return Filter(hidden=hidden, sources=sources, documents=documents, metadata=conditions)
    except ValueError as error:
        raise InvalidQuery(str(error)) from error


def _names(condition: object, field: str) -> frozenset[str] | None:
    if condition is None:
        return None
    values = [condition] if isinstance(condition, str) else condition
    if not isinstance(values, Sequence) or not all(isinstance(value, str) for value in values):
        raise InvalidQuery(f"the filter on {field!r} must be a name or a list of names")
    return frozenset(values)


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
    payloads = reader.retrieve([hit.chunk_id for hit in fused])
    seen: set[tuple[str, str]] = set()
    kept: list[Scored] = []
    for hit in fused:
        document = (payloads[hit.chunk_id]["source"], payloads[hit.chunk_id]["document"])
        if document not in seen:
            seen.add(document)
            kept.append(hit)
    return payloads, kept[: min(query.k, MAX_K)]


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
