"""Each check at its boundary: exactly at it passes, just beyond it fails. One candidate, looked at in many ways."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from canaries import gate
from canaries.checks import chunk_count, coverage, embedding_model, lexical_parity, recall, reconciliation
from canaries.checks.candidate import CandidateUnderTest
from pipelines.build.document_preparer import DocumentPreparer
from pipelines.build.prepared import PreparedDocument
from registry.canaries import Question, canary_id
from registry.verdicts import Verdict
from retrieval.index.point import IndexPoint
from retrieval.index.store import Reader, Scored
from tests.support import scripted_source
from tests.support.fake_encoder import FakeEncoder, fake_identity
from tests.support.world import TOPICS, World, text_about


class Losing(DocumentPreparer):
    """A new parser that loses most of the texts on lanterns."""

    def configuration(self, model_id: str) -> Any:
        return replace(DocumentPreparer.configuration(self, model_id), parser="losing")

    def prepare(self, content: bytes, media_type: str, title: str) -> PreparedDocument:
        found = DocumentPreparer.prepare(self, content, media_type, title)
        return replace(found, chunks=found.chunks[:1]) if b"lantern" in content else found


@pytest.fixture(scope="module")
def judged(migrated_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CandidateUnderTest]:
    """Generation 2 beside live generation 1: d0 and d1 speak of other things, d9 was deleted."""
    home = tmp_path_factory.mktemp("judged") / "home"
    shutil.copytree(migrated_home, home)
    world = World(home)
    world.add_tenant()
    world.add_source()
    world.commit({f"d{n}": text_about(topic) for n, topic in enumerate(TOPICS[:10])})
    assert world.run().status == "published"
    world.commit({"d0": text_about(TOPICS[15]), "d1": text_about(TOPICS[16])}, deletes=["d9"])
    world.capture()
    p = world.ingestion.preparer
    losing = Losing(p.chunker, p.analyzer, p.tokenizer, p.max_tokens, p.max_bytes)
    world.ingestion = replace(world.ingestion, preparer=losing)
    outcome = world.build()
    assert outcome.generation == 2
    yield gate.put_under_test(
        world.registry, world.store, world.searcher, world.encoders, world.encoder.model, world.tenant, 2
    )
    world.close()
    scripted_source.uninstall()


def asking(judged: CandidateUnderTest, *asked: tuple[int, str], **contract: Any) -> CandidateUnderTest:
    """The candidate under questions (number of the topic, document that is said to answer it) and a contract."""
    questions = [
        Question(canary_id(f"{n} {topic} {key}"), f"what does the {TOPICS[topic]} file say", (key,))
        for n, (topic, key) in enumerate(asked)
    ]
    return replace(judged, questions=questions, contract=judged.contract.changed({"k": 1, **contract}))


FOUND = [(n, f"d{n}") for n in range(2, 9)]  # by both generations
LOST = [(0, "d0"), (1, "d1")]  # by the live one alone
NEVER = [(2, "d3"), (3, "d4"), (4, "d5")]  # by none
DELETED = [(9, "d9")]


def test_recall_and_rank_at_their_floors(judged: CandidateUnderTest) -> None:
    for floor in ("recall_floor", "mrr_floor"):
        floors = {"recall_floor": 0.0, "mrr_floor": 0.0, "allowed_drop": 1.0}
        at, _ = recall.check(asking(judged, *FOUND, *NEVER, **{**floors, floor: 0.7}))
        assert (at.passed, at.details["recall"], at.details["mrr"]) == (True, 0.7, 0.7)
        beyond, _ = recall.check(asking(judged, *FOUND, *NEVER, **{**floors, floor: 0.7001}))
        assert (beyond.passed, beyond.holds_back) == (False, True)


def test_the_allowed_drop_at_its_end(judged: CandidateUnderTest) -> None:
    asked = [*FOUND, LOST[0], *NEVER[:2]]  # 0.8 then, 0.7 now; as floats 0.8 - 0.1 is a little more than 0.7
    floors = {"recall_floor": 0.0, "mrr_floor": 0.0}
    at, _ = recall.check(asking(judged, *asked, **floors, allowed_drop=0.1))
    assert (at.details["live_recall"], at.details["recall"]) == (0.8, 0.7)
    assert at.passed, at.summary
    assert at.details["lost"] == [canary_id("7 0 d0")]
    beyond, _ = recall.check(asking(judged, *asked, **floors, allowed_drop=0.0999))
    assert not beyond.passed
    assert "recall fell from 0.800 to 0.700" in beyond.summary
    assert "MRR fell from 0.800 to 0.700" in beyond.summary


def test_a_gain_is_no_drop(judged: CandidateUnderTest) -> None:
    verdict, _ = recall.check(asking(judged, (15, "d0"), (16, "d1"), allowed_drop=0.0))
    assert (verdict.passed, verdict.details["live_recall"], verdict.details["recall"]) == (True, 0.0, 1.0)


def test_deleted_answers_leave_the_denominator(judged: CandidateUnderTest) -> None:
    verdict, asked = recall.check(asking(judged, *FOUND, *DELETED, recall_floor=1.0, allowed_drop=0.0))
    assert (verdict.passed, verdict.details["queries"], verdict.details["excused"]) == (True, 7, 1)
    assert [a.recall for a in asked.answers] == [1.0] * 7 + [None]
    alone, _ = recall.check(asking(judged, *DELETED))
    assert (alone.passed, alone.holds_back, alone.details["status"]) == (False, False, "unguarded")


def test_coverage_at_its_floor(judged: CandidateUnderTest) -> None:
    absent = [(2, "never-was")]
    at = coverage.check(asking(judged, *FOUND, *LOST, *absent, canary_coverage=0.9))
    assert (at.passed, at.details["covered"], at.details["absent"]) == (True, 0.9, 1)
    beyond = coverage.check(asking(judged, *FOUND, *LOST, *absent, canary_coverage=0.901))
    assert beyond.holds_back
    excused = coverage.check(asking(judged, *FOUND, *DELETED, canary_coverage=1.0))
    assert (excused.passed, excused.details["excused"]) == (True, 1)
    for nothing in (asking(judged), asking(judged, *DELETED)):
        verdict = coverage.check(nothing)
        assert (verdict.passed, verdict.holds_back, verdict.details["status"]) == (False, False, "unguarded")


def test_the_chunk_drop_at_what_is_allowed(judged: CandidateUnderTest) -> None:
    with judged.registry.read() as session:
        assert judged.live is not None
        before = chunk_count.extents(session, judged.live, served=True)
        after = chunk_count.extents(session, judged.candidate)
    drop = max(chunk_count.unexplained(before, after))
    assert 0 < drop < 0.5, "the example loses nothing"
    assert chunk_count.check(asking(judged, chunk_drop=drop)).passed
    beyond = chunk_count.check(asking(judged, chunk_drop=drop - 1e-6))
    assert beyond.holds_back
    assert beyond.details["vanished_documents"] == 0, "d9 was deleted: that explains it"
    assert chunk_count.check(replace(judged, live=None)).passed, "a first generation has nothing to lose"


@dataclass
class Turned:
    """An encoder whose vectors are turned away from the true ones by a cosine."""

    cosine: float

    def of(self, model_id: str) -> Turned:
        return self

    def encode(self, texts: Sequence[str]) -> Any:
        true = FakeEncoder().encode(texts).astype(np.float64)
        away = np.roll(true, 1, axis=1)
        away -= np.einsum("ij,ij->i", away, true)[:, None] * true
        away /= np.linalg.norm(away, axis=1)[:, None]
        return (self.cosine * true + np.sqrt(1 - self.cosine**2) * away).astype(np.float32)


@pytest.mark.parametrize(
    ("cosine", "passes"), [(1.0, True), (0.99901, True), (0.99899, False), (-1.0, False)]
)
def test_vectors_at_the_least_cosine(judged: CandidateUnderTest, cosine: float, passes: bool) -> None:
    verdict = embedding_model.check(replace(judged, encoders=Turned(cosine)))  # type: ignore[arg-type]
    assert (verdict.passed, verdict.holds_back) == (passes, not passes)
    assert verdict.details["sampled"] == 16
    assert verdict.details["least_cosine"] == pytest.approx(cosine, abs=1e-5)


def test_another_model_is_refused_by_its_name_alone(judged: CandidateUnderTest) -> None:
    other = replace(judged, model=fake_identity("other"), encoders=None)  # type: ignore[arg-type]
    assert embedding_model.check(other).holds_back


class Tampered:
    """A reader that gives something else than its index holds."""

    def __init__(self, reader: Reader, **tampered: Callable[..., Any]) -> None:
        self.reader = reader
        self.tampered = tampered

    def __getattr__(self, name: str) -> Any:
        true = getattr(self.reader, name)
        if name not in self.tampered:
            return true
        return lambda *a, **k: self.tampered[name](true(*a, **k))

    def __enter__(self) -> Tampered:
        return self

    def __exit__(self, *_: Any) -> None:
        self.reader.close()


def tampering(judged: CandidateUnderTest, **tampered: Callable[..., Any]) -> CandidateUnderTest:
    store = judged.store

    class Store:
        def open(self, *arguments: Any) -> Tampered:
            return Tampered(store.open(*arguments), **tampered)

    return replace(judged, store=Store())  # type: ignore[arg-type]


def scaled(by: float) -> Callable[[list[Scored]], list[Scored]]:
    return lambda ranking: [Scored(hit.chunk_id, hit.score * by) for hit in ranking]


@pytest.mark.parametrize(
    ("change", "passes"),
    [
        (scaled(1.0), True),
        (scaled(1 + 0.5e-4), True),
        (scaled(1 + 2e-4), False),
        (scaled(1 - 2e-4), False),
        (lambda ranking: ranking[1:], False),
        (lambda ranking: [], False),
    ],
    ids=["true", "within", "above", "below", "without the best", "nothing"],
)
def test_lexical_scores_at_the_tolerance(
    judged: CandidateUnderTest, change: Callable[..., Any], passes: bool
) -> None:
    verdict = lexical_parity.check(tampering(asking(judged, *FOUND), lexical=change))
    assert (verdict.passed, verdict.holds_back) == (passes, not passes), verdict.summary
    assert verdict.details["queries"] == 12


def another_payload(points: Iterator[IndexPoint]) -> list[IndexPoint]:
    first, *others = points
    return [replace(first, payload={**first.payload, "position": "c9999"}), *others]


def another_bit(points: Iterator[IndexPoint]) -> list[IndexPoint]:
    first, *others = points
    vector = first.vector.copy()
    vector[0] = np.nextafter(vector[0], np.float32(2))
    return [replace(first, vector=vector), *others]


def one_more(points: Iterator[IndexPoint]) -> list[IndexPoint]:
    found = list(points)
    return [*found, replace(found[0], chunk_id="00000000-0000-4000-8000-000000000001")]


@pytest.mark.parametrize(
    ("tampered", "faults"),
    [
        ({}, (0, 0, 0)),
        ({"points": lambda points: list(points)[1:]}, (1, 0, 0)),
        ({"points": another_payload}, (0, 0, 1)),
        ({"points": another_bit}, (0, 0, 1)),
        ({"points": one_more}, (0, 1, 0)),
        ({"count": lambda count: count + 1}, (0, 0, 0)),
    ],
    ids=["true", "missing", "payload", "one bit", "one more", "miscounted"],
)
def test_reconciliation_sees_one_point(
    judged: CandidateUnderTest, tampered: dict[str, Any], faults: tuple[int, int, int]
) -> None:
    verdict: Verdict = reconciliation.check(tampering(judged, **tampered))
    assert verdict.passed == (not tampered)
    assert tuple(verdict.details[name] for name in ("missing", "unexpected", "different")) == faults
