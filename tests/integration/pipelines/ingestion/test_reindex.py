"""A reindex: everything anew beside what serves, resumable, gated, and the same where nothing changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.build.progress import Silent
from pipelines.ingestion.comparison import same_content
from pipelines.ingestion.outcome import Outcome
from registry import builds, generations
from registry.builds import Build
from retrieval.lexical.analyzer import Analyzer
from tests.support.fake_encoder import FakeEncoder
from tests.support.world import TOPICS, World, empty_world, migrated_home, published, red, text_about, world

__all__ = ["empty_world", "migrated_home", "published", "world"]


class Killed(BaseException):
    """Stands for SIGKILL: nothing that catches exceptions catches it."""


def anew(world: World) -> Outcome:
    """What `holdfast reindex` does."""
    world.capture()
    outcome = world.ingestion.build(world.tenant, "reindex", anew=True)
    if outcome.status == "published":
        assert outcome.generation is not None
        world.ingestion.judge(world.tenant, outcome.generation)
        world.ingestion.publish(world.tenant, outcome.generation)
    world.ingestion.release(world.tenant, "reindex")
    return outcome


def same(world: World, one: int, other: int) -> bool | None:
    with world.reading() as session:
        return same_content(
            session,
            generations.get(session, world.tenant, one),
            generations.get(session, world.tenant, other),
        )


def under_way(world: World) -> list[Build]:
    with world.reading() as session:
        return builds.under_way(session, world.clock())


def staged_from(world: World, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The bases that candidates are copied from, as they are staged."""
    found: list[Any] = []
    stage = world.store.stage

    def noted(ref: Any, spec: Any, base: Any = None) -> Any:
        found.append(base)
        return stage(ref, spec, base)

    monkeypatch.setattr(world.store, "stage", noted)
    return found


def test_the_same_gives_the_same_and_costs_nothing(published: World, monkeypatch: pytest.MonkeyPatch) -> None:
    published.commit({"d3": text_about(TOPICS[3], version=1), "d10": text_about(TOPICS[10])}, deletes=["d0"])
    assert published.run().generation == 2, "built by difference"
    bases = staged_from(published, monkeypatch)
    outcome = anew(published)
    assert (outcome.status, outcome.generation, bases) == ("published", 3, [None])
    assert (outcome.embedded, outcome.work.parsed, outcome.work.reindexed) == (0, 0, "asked for")
    assert (outcome.chunks.added, outcome.chunks.removed) == (0, 0)
    assert outcome.work.written == outcome.chunks.live
    assert same(published, 2, 3) is True
    live = published.live()
    assert live is not None
    assert live.number == 3
    assert published.run().status == "unchanged"


def test_other_documents_prove_nothing(published: World) -> None:
    published.commit({"d10": text_about(TOPICS[10])})
    assert anew(published).generation == 2
    assert same(published, 1, 2) is None


def test_other_content_of_the_same_documents_is_seen(published: World) -> None:
    assert anew(published).generation == 2
    with published.registry.write() as session:
        generations.get(session, published.tenant, 2).digest = "0" * 64
    assert same(published, 1, 2) is False


def test_there_must_be_something_to_index(world: World) -> None:
    outcome = world.ingestion.build(world.tenant, "reindex", anew=True)
    assert (outcome.status, outcome.generation) == ("unchanged", None)
    assert "no source has captured anything" in outcome.reason


def test_a_held_tenant_is_not_reindexed(published: World) -> None:
    from registry import publication

    published.commit({"d10": text_about(TOPICS[10])})
    published.run()
    with published.registry.write() as session:
        publication.roll_back(session, published.tenant, published.clock())
    assert anew(published).status == "held"


def other_model(world: World) -> None:
    world.use_encoder(FakeEncoder("other"))


def other_chunker(world: World) -> None:
    chunker, preparer = "another chunker", world.ingestion.preparer
    configured = preparer.configuration

    class Rechunking:
        prepare = staticmethod(preparer.prepare)

        def configuration(self, model_id: str) -> Any:
            return replace(configured(model_id), chunker=chunker)

    world.ingestion = replace(world.ingestion, preparer=Rechunking())  # type: ignore[arg-type]


def other_parser(world: World) -> None:
    preparer = world.ingestion.preparer
    configured = preparer.configuration

    class Reparsing:
        prepare = staticmethod(preparer.prepare)

        def configuration(self, model_id: str) -> Any:
            return replace(configured(model_id), parser="another parser")

    world.ingestion = replace(world.ingestion, preparer=Reparsing())  # type: ignore[arg-type]


def other_analyzer(world: World) -> None:
    preparer = replace(world.ingestion.preparer, analyzer=Analyzer("german"))
    world.ingestion = replace(world.ingestion, preparer=preparer)


@pytest.mark.parametrize(
    ("change", "named", "embeds", "parses"),
    [
        (other_model, "model fake", True, False),
        (other_chunker, "chunker", False, True),
        (other_parser, "parser", False, True),
        (other_analyzer, "analyzer", False, True),
    ],
)
def test_a_changed_configuration_is_a_full_build_beside_the_live_one(
    published: World,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[World], None],
    named: str,
    embeds: bool,
    parses: bool,
) -> None:
    bases = staged_from(published, monkeypatch)
    change(published)
    outcome = published.run()
    assert (outcome.status, bases) == ("published", [None])
    assert outcome.work.reindexed.startswith(named)
    assert (outcome.embedded > 0, outcome.work.parsed > 0) == (embeds, parses)
    assert published.found(f"{TOPICS[3]} file")[0] == "d3"
    assert anew(published).status == "published"
    assert same(published, 2, 3) is True


def test_what_serves_goes_on_serving_and_the_gate_decides(published: World) -> None:
    published.use_encoder(FakeEncoder("other"))
    published.set_contract(recall_floor=1.0, mrr_floor=1.0)
    published.ask_about({f"what does the {TOPICS[1]} file say": ["d0"]})
    outcome = published.run()
    assert outcome.status == "rejected"
    assert "canary_recall" in red(outcome.checks)
    live = published.live()
    assert live is not None
    assert live.model_id.startswith("fake")
    assert published.found(f"{TOPICS[3]} file")[0] == "d3"


def killed_at(world: World, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    calls = 0
    encode = world.encoder.encode

    def encoding(texts: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == batch:
            raise Killed
        world.clock.advance(2)
        return encode(texts)

    with monkeypatch.context() as patch:
        patch.setattr(world.encoder, "encode", encoding)
        with pytest.raises(Killed):
            world.build("killed")


@pytest.mark.parametrize("times", [1, 3])
def test_a_killed_reindex_embeds_only_what_is_missing(
    published: World, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    published.commit({f"e{n}": text_about(f"extra{n}") for n in range(40)})
    published.run()
    texts = {text for chunks in published.texts().values() for text in chunks}
    published.use_encoder(FakeEncoder("other"))
    for _ in range(times):
        killed_at(published, monkeypatch, batch=3)
    assert len(published.encoder.encoded) == 16 * times
    build = published.build("resumed")
    assert build.generation is not None
    assert build.embedded == len(texts) - 16 * times
    assert sorted(published.encoder.encoded) == sorted(texts), "each once"
    published.ingestion.judge(published.tenant, build.generation)
    published.ingestion.publish(published.tenant, build.generation)
    published.ingestion.release(published.tenant, "resumed")
    fresh = anew(published)
    assert fresh.generation is not None
    assert same(published, build.generation, fresh.generation) is True


def test_a_reindex_under_way_is_seen_with_rate_and_time_left(published: World) -> None:
    published.commit({f"e{n}": text_about(f"extra{n}") for n in range(40)})
    published.run()
    assert under_way(published) == []
    published.use_encoder(FakeEncoder("other"))
    seen: list[Build] = []
    encode = published.encoder.encode

    def watched(texts: Any) -> Any:
        seen.extend(under_way(published))
        published.clock.advance(4)
        return encode(texts)

    published.encoder.encode = watched  # type: ignore[method-assign]
    outcome = published.build("swap")
    first, third = seen[0], seen[2]
    assert (first.kind, first.stage, first.running, first.backfill) == ("reindex", "embeddings", True, True)
    assert first.reason.startswith("model fake")
    assert (first.done, first.left, first.rate, first.eta_seconds) == (0, outcome.embedded, None, None)
    assert (third.done, third.left, third.rate) == (16, outcome.embedded - 16, 2.0)
    assert third.eta_seconds == pytest.approx((outcome.embedded - 16) / 2)
    assert under_way(published) == [], "done"


def test_a_killed_reindex_is_seen_as_cut_off_and_counts_what_was_done(
    published: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    published.commit({f"e{n}": text_about(f"extra{n}") for n in range(40)})
    published.run()
    published.use_encoder(FakeEncoder("other"))
    killed_at(published, monkeypatch, batch=3)
    (cut_off,) = under_way(published)
    assert (cut_off.running, cut_off.rate, cut_off.eta_seconds) == (False, None, None)
    assert cut_off.done == 16
    seen: list[Build] = []
    encode = published.encoder.encode

    def watched(texts: Any) -> Any:
        seen.extend(under_way(published))
        return encode(texts)

    published.encoder.encode = watched  # type: ignore[method-assign]
    published.build("resumed")
    assert (seen[0].run, seen[0].done, seen[0].left) == ("resumed", 16, cut_off.left)


def test_what_was_cut_off_is_forgotten_where_nothing_is_left_to_do(
    published: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = published.encoder
    published.use_encoder(FakeEncoder("other"))
    killed_at(published, monkeypatch, batch=1)
    assert len(under_way(published)) == 1
    published.use_encoder(first)
    assert published.run().status == "unchanged"
    assert under_way(published) == []


def test_embedding_is_counted_by_source_and_day(published: World) -> None:
    published.add_source("second")
    shared = text_about("volcano")
    published.commit({"v": shared, "w": text_about("walrus")}, source="second")
    published.commit({"copy": shared})
    published.run()
    with published.reading() as session:
        source = {s.name: s.id for s in generations_sources(published)}
        day = published.clock().date()
        docs = builds.usage(session, published.tenant, source["docs"], day)
        second = builds.usage(session, published.tenant, source["second"], day)
        assert builds.usage(session, published.tenant, source["docs"], day.replace(year=2030)) == (0, 0.0)
    texts = {text for chunks in published.texts().values() for text in chunks}
    assert docs[0] + second[0] == len(texts), "a text that two sources share is counted once"
    assert docs[1] > 0
    assert 0 < second[0] < docs[0]


def generations_sources(world: World) -> list[Any]:
    from registry import sources

    with world.reading() as session:
        return sources.of_tenant(session, world.tenant)


def test_progress_is_written_once_a_second_and_handed_on(published: World, tmp_path: Path) -> None:
    from pipelines.build.progress import RegisteredProgress

    told: list[tuple[Any, ...]] = []

    class Told(Silent):
        def begin(self, stage: str, total: int, ready: int = 0) -> None:
            told.append((stage, total, ready))

        def advance(self, stage: str, by: int = 1) -> None:
            told.append((stage, by))

    with published.registry.write() as session:
        builds.begin(session, published.tenant, "run", "update", "", published.clock())
    progress = RegisteredProgress(Told(), published.registry, published.tenant, "run", published.clock)
    progress.begin("embeddings", 10, 5)
    progress.advance("embeddings", 4)
    assert under_way(published)[0].done == 5
    published.clock.advance(1)
    progress.advance("embeddings", 1)
    assert (under_way(published)[0].done, under_way(published)[0].left) == (10, 5)
    assert told == [("embeddings", 10, 5), ("embeddings", 4), ("embeddings", 1)]
    with published.registry.write() as session:
        builds.begin(session, published.tenant, "another", "update", "", published.clock())
    published.clock.advance(1)
    progress.advance("embeddings", 1)
    assert under_way(published)[0].done == 0, "a run that was taken over writes into nobody else's progress"
