"""Retrieval quality on judged collections, with the real model, through capture, build, gate and search.

By default a sample of Cranfield; HOLDFAST_FULL=1 takes SciFact and Cranfield whole.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest

from canaries.evaluation import DEPTH, Judgement, evaluate, read_judgements, read_queries
from pipelines.ingestion.ingestion import Ingestion, open_ingestion, with_checks
from pipelines.ingestion.outcome import Outcome
from registry import sources, tenants
from registry.clock import utc_now
from registry.database import Registry
from registry.settings import Settings
from retrieval.search.query import Mode, SearchQuery
from tests.support.datasets import FULL, dataset

MODES: tuple[Mode, ...] = get_args(Mode)
DOCUMENTS = 400
JUDGED = 260
FLOORS: dict[Mode, float] = {"hybrid": 0.57, "dense": 0.545, "lexical": 0.525}  # nDCG@10 was .589, .562, .544
full = pytest.mark.skipif(not FULL, reason="takes minutes of encoding; HOLDFAST_FULL=1 runs it")


@dataclass(frozen=True)
class Collection:
    """Lines of a corpus (`_id`, `title`, `text`), query texts by id, and the judgements on them."""

    corpus: Sequence[str]
    queries: Mapping[str, str]
    judgements: Sequence[Judgement]

    @classmethod
    def read(cls, folder: Path) -> Collection:
        lines = (folder / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
        return cls(
            lines, read_queries(folder / "queries.jsonl"), read_judgements(folder / "qrels" / "test.tsv")
        )

    def sample(self, documents: int, judged: int) -> Collection:
        """Queries drawn while their relevant documents are at most `judged`; those, and others up to `documents`.

        Every relevant document of a drawn query is there, so that the judgements stay complete.
        """
        draw = random.Random(20)
        relevant: dict[str, set[str]] = {}
        for judgement in self.judgements:
            if judgement.relevance > 0:
                relevant.setdefault(judgement.query, set()).add(judgement.document)
        kept: set[str] = set()
        drawn: set[str] = set()
        for query in draw.sample(sorted(relevant), len(relevant)):
            if len(kept | relevant[query]) <= judged:
                drawn.add(query)
                kept |= relevant[query]
        names = [json.loads(line)["_id"] for line in self.corpus]
        others = [name for name in names if name not in kept]
        kept.update(draw.sample(others, documents - len(kept)))
        return Collection(
            [line for line, name in zip(self.corpus, names, strict=True) if name in kept],
            {query: self.queries[query] for query in drawn},
            [j for j in self.judgements if j.query in drawn and j.document in kept],
        )


@contextmanager
def ingested(home: Path, collection: Collection) -> Iterator[tuple[Ingestion, str, Outcome]]:
    """A tenant whose folder holds the corpus, captured, built, judged and published with the real model."""
    folder = home / "documents"
    folder.mkdir(parents=True)
    (folder / "corpus.jsonl").write_text("\n".join(collection.corpus), encoding="utf-8")
    settings = Settings(home=home)
    registry = Registry(settings.registry)
    registry.migrate()
    with registry.write() as session:
        tenant = tenants.create(session, "judged", utc_now()).id
        sources.add(
            session, name="corpus", tenant_id=tenant, kind="folder", uri=str(folder), owner="o@example.org",
            options={"quiescence": "0"}, consistency="observed", now=utc_now(),
        )  # fmt: skip
    registry.close()
    ingestion = open_ingestion(settings)
    try:
        ingestion.capture(tenant)
        outcome = ingestion.build(tenant, "run-1")
        assert outcome.status == "published", outcome.reason
        assert outcome.generation is not None
        outcome = with_checks(outcome, ingestion.judge(tenant, outcome.generation))
        assert outcome.status == "published", [c.summary for c in outcome.checks if c.holds_back]
        assert outcome.generation is not None
        ingestion.publish(tenant, outcome.generation)
        ingestion.release(tenant, "run-1")
        yield ingestion, tenant, outcome
    finally:
        ingestion.store.close()
        ingestion.registry.close()


def measured(ingestion: Ingestion, tenant: str, collection: Collection) -> dict[Mode, dict[str, float]]:
    """The measures of each mode, at document level."""

    def ranking(mode: Mode, text: str) -> list[tuple[str, float]]:
        query = SearchQuery(text, DEPTH, mode, "document")
        return [(hit.document, hit.score) for hit in ingestion.searcher.search(tenant, query).hits]

    found = {}
    for mode in MODES:
        found[mode] = evaluate(
            lambda text, m=mode: ranking(m, text), collection.queries, collection.judgements
        )
        print(mode, {name: round(value, 4) for name, value in found[mode].items()})
    return found


def whole(name: str, home: Path) -> dict[Mode, dict[str, float]]:
    collection = Collection.read(dataset(name))
    started = time.perf_counter()
    with ingested(home, collection) as (ingestion, tenant, outcome):
        assert outcome.documents.live + outcome.documents.quarantined == len(collection.corpus)
        print(f"{name}: {time.perf_counter() - started:.0f} s, {outcome.chunks.live} chunks")
        return measured(ingestion, tenant, collection)


@pytest.mark.timeout(600)
def test_a_sample_of_cranfield_is_found(tmp_path: Path) -> None:
    """Hybrid is no worse than either part, and every mode is above a floor that a broken ranking would miss."""
    collection = Collection.read(dataset("cranfield")).sample(DOCUMENTS, JUDGED)
    assert len(collection.corpus) == DOCUMENTS
    assert len(collection.queries) >= 40
    started = time.perf_counter()
    with ingested(tmp_path, collection) as (ingestion, tenant, outcome):
        print(f"{time.perf_counter() - started:.0f} s, {outcome.chunks.live} chunks, {outcome.documents}")
        assert outcome.documents.live == DOCUMENTS
        assert outcome.embedded <= outcome.chunks.live
        found = measured(ingestion, tenant, collection)
    ndcg = {mode: found[mode]["ndcg@10"] for mode in MODES}
    assert ndcg["hybrid"] >= max(ndcg["dense"], ndcg["lexical"]) - 0.01
    assert found["hybrid"]["recall@10"] >= max(found[m]["recall@10"] for m in ("dense", "lexical")) - 0.02
    for mode, floor in FLOORS.items():
        assert ndcg[mode] >= floor, mode
    assert found["hybrid"]["recall@100"] >= 0.91


@full
@pytest.mark.timeout(3600)
def test_scifact_is_found_as_published(tmp_path: Path) -> None:
    """All 5,183 abstracts and 300 claims; dense and BM25 are published at .645 and .679, whole abstracts."""
    found = whole("scifact", tmp_path)
    assert found["hybrid"]["ndcg@10"] >= 0.72
    assert found["dense"]["ndcg@10"] >= 0.64
    assert found["lexical"]["ndcg@10"] >= 0.67


@full
@pytest.mark.timeout(1800)
def test_cranfield_is_found_better_by_both_than_by_one(tmp_path: Path) -> None:
    found = whole("cranfield", tmp_path)
    assert found["hybrid"]["ndcg@10"] >= max(found["dense"]["ndcg@10"], found["lexical"]["ndcg@10"]) + 0.02
