"""What can go wrong with a candidate, and which checks must see it. Each row is shown red, exactly as written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from pipelines.build import staging
from pipelines.build.document_preparer import DocumentPreparer
from pipelines.build.prepared import PreparedDocument
from pipelines.ingestion import build
from registry.schema import Generation
from retrieval.index.point import IndexPoint
from retrieval.lexical.terms import SparseWeights
from tests.support.world import TOPICS, World, empty_world, migrated_home, red, text_about, world

__all__ = ["empty_world", "migrated_home", "world"]

DOCUMENTS = 20
Patch = pytest.MonkeyPatch


@pytest.fixture
def served(world: World) -> World:
    """Twenty documents of several chunks each, live, with a canary for each."""
    world.commit({f"d{n}": text_about(topic, sentences=6) for n, topic in enumerate(TOPICS)})
    world.ask_about({f"what does the {topic} file say": [f"d{n}"] for n, topic in enumerate(TOPICS)})
    assert world.run().status == "published"
    return world


def points_changed(patch: Patch, change: Callable[[list[IndexPoint]], list[IndexPoint]]) -> None:
    """Tamper with what staging writes; the checks still see what should have been written."""
    original = staging.expected_points

    def tampered(*arguments: Any) -> Iterator[IndexPoint]:
        return iter(change(list(original(*arguments))))

    patch.setattr(staging, "expected_points", tampered)


def drop_a_tenth(world: World, patch: Patch) -> None:
    points_changed(patch, lambda points: [p for i, p in enumerate(points) if i % 10])


def permute_ids(world: World, patch: Patch) -> None:
    def rotated(points: list[IndexPoint]) -> list[IndexPoint]:
        ids = [p.chunk_id for p in points]
        return [replace(p, chunk_id=i) for p, i in zip(points, ids[1:] + ids[:1], strict=True)]

    points_changed(patch, rotated)


def corrupt_weights(world: World, patch: Patch) -> None:
    def heavier(point: IndexPoint) -> IndexPoint:
        return replace(
            point, weights=SparseWeights(point.weights.indices, point.weights.values * np.float32(1.5))
        )

    points_changed(patch, lambda points: [heavier(p) if i % 3 else p for i, p in enumerate(points)])


def vectors_of_another_model(world: World, patch: Patch) -> None:
    """The encoder says that it is the registered model, and is not. Everything is embedded anew."""
    world.commit({f"d{n}": text_about(topic, sentences=6, version=1) for n, topic in enumerate(TOPICS)})
    encode = world.encoder.encode
    patch.setattr(world.encoder, "encode", lambda texts: np.roll(encode(texts), 1, axis=1))


def another_model_s_stamp(world: World, patch: Patch) -> None:
    original = staging.spec_of
    patch.setattr(staging, "spec_of", lambda *a: replace(original(*a), model="another-model-000000000000"))
    patch.setattr(staging, "_can_copy", lambda *_: False)  # the store itself refuses to copy across models


@dataclass(frozen=True)
class HalfParser(DocumentPreparer):
    """A new version of the parser that loses the second half of each document."""

    def configuration(self, model_id: str) -> Any:
        return replace(DocumentPreparer.configuration(self, model_id), parser="half")

    def prepare(self, content: bytes, media_type: str, title: str) -> PreparedDocument:
        return DocumentPreparer.prepare(self, content[: len(content) // 2], media_type, title)


def lose_half_of_each_text(world: World, patch: Patch) -> None:
    p = world.ingestion.preparer
    half = HalfParser(p.chunker, p.analyzer, p.tokenizer, p.max_tokens, p.max_bytes)
    world.ingestion = replace(world.ingestion, preparer=half)


def canaries_of_documents_that_are_gone(world: World, patch: Patch) -> None:
    questions = {f"what does the {topic} file say": [f"d{n}"] for n, topic in enumerate(TOPICS)}
    world.ask_about(questions | {f"lost thing {n}": [f"never-{n}"] for n in range(3)})


def skip_an_average_length_step(world: World, patch: Patch) -> None:
    patch.setattr(build, "grid_step", lambda average: -1 + _step(average))


def _step(average: float) -> int:
    from retrieval.lexical.bm25 import grid_step

    return grid_step(average)


def alter_one_text(world: World, patch: Patch) -> None:
    def altered(points: list[IndexPoint]) -> list[IndexPoint]:
        payload = {**points[0].payload, "text": "something else"}
        return [replace(points[0], payload=payload), *points[1:]]

    points_changed(patch, altered)


def smuggle_a_point(world: World, patch: Patch) -> None:
    def smuggled(points: list[IndexPoint]) -> list[IndexPoint]:
        payload = {**points[0].payload, "document": "of-another-tenant"}
        return [*points, replace(points[0], chunk_id="00000000-0000-4000-8000-000000000001", payload=payload)]

    points_changed(patch, smuggled)


# Where the lexical side no longer holds the right chunks under the right ids, its scores cannot be BM25's.
MATRIX: list[tuple[Callable[[World, Patch], None], set[str]]] = [
    (drop_a_tenth, {"index_reconciles", "lexical_parity"}),
    (permute_ids, {"index_reconciles", "lexical_parity"}),
    (corrupt_weights, {"index_reconciles", "lexical_parity"}),
    # Recall of vectors that are not the query's model's means nothing: not asked is not passed.
    (vectors_of_another_model, {"embedding_model_matches", "canary_recall"}),
    (another_model_s_stamp, {"embedding_model_matches", "canary_recall"}),
    (lose_half_of_each_text, {"chunk_count_holds"}),
    (canaries_of_documents_that_are_gone, {"canary_coverage"}),
    (skip_an_average_length_step, {"lexical_parity"}),
    (alter_one_text, {"index_reconciles"}),
    (smuggle_a_point, {"index_reconciles", "lexical_parity"}),
]


@pytest.mark.parametrize(("fault", "expected"), MATRIX, ids=[fault.__name__ for fault, _ in MATRIX])
def test_each_fault_is_seen_by_its_checks(
    served: World, monkeypatch: Patch, fault: Callable[[World, Patch], None], expected: set[str]
) -> None:
    before = answers(served)
    undisturbed = served.ingestion
    served.commit({"d20": text_about("harvest", sentences=6)})
    with monkeypatch.context() as patch:
        fault(served, patch)
        candidate = build_under(served, fault, patch)
        verdicts = served.ingestion.judge(served.tenant, candidate)
    assert red(verdicts) == expected, [(v.name, v.summary) for v in verdicts if not v.passed]

    assert status(served, candidate) == "rejected"
    assert live(served).number == 1
    assert answers(served) == before
    assert [alert.details["generation"] for alert in served.alerts("candidate_rejected")] == [candidate]

    served.ingestion = undisturbed
    served.ingestion.release(served.tenant, "faulty")
    served.ask_about({f"what does the {topic} file say": [f"d{n}"] for n, topic in enumerate(TOPICS)})
    served.commit({"d21": text_about("winter", sentences=6)})
    assert served.run().status == "published"


def build_under(world: World, fault: Callable[[World, Patch], None], patch: Patch) -> int:
    world.capture()
    outcome = world.ingestion.build(world.tenant, "faulty")
    assert outcome.status == "published", outcome
    assert outcome.generation is not None
    if fault is vectors_of_another_model:
        patch.undo()  # the query side has the right model
    return outcome.generation


def answers(world: World) -> dict[str, list[str]]:
    return {topic: world.found(f"what does the {topic} file say", as_of=1)[:3] for topic in TOPICS[:6]}


def live(world: World) -> Generation:
    found = world.live()
    assert found is not None
    return found


def status(world: World, number: int) -> str:
    with world.reading() as session:
        return session.get_one(Generation, (world.tenant, number)).status


def test_an_explained_deletion_of_fifteen_per_cent_passes(served: World) -> None:
    served.commit(deletes=["d0", "d1", "d2"])
    outcome = served.run()
    assert outcome.status == "published", [v.summary for v in outcome.checks if not v.passed]
    assert outcome.documents.deleted == 3
    (recalled,) = [v for v in outcome.checks if v.name == "canary_recall"]
    assert recalled.details["excused"] == 3


def test_an_edit_that_halves_a_document_passes(served: World) -> None:
    served.commit({"d0": text_about(TOPICS[0], sentences=2)})
    assert served.run().status == "published"


def test_without_canaries_the_gate_warns_and_is_never_green(served: World) -> None:
    served.ask_about({})
    served.commit({"d20": text_about("harvest")})
    outcome = served.run()
    assert outcome.status == "published"
    unguarded = [v for v in outcome.checks if not v.passed]
    assert {v.name for v in unguarded} == {"canary_recall", "canary_coverage"}
    assert all(not v.blocking and v.details["status"] == "unguarded" for v in unguarded)
