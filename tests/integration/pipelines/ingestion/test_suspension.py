"""A suspended tenant's runs stop, a running one at its next batch; its sources go on being captured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pipelines.ingestion.due import due_tenants
from registry import tenants
from registry.errors import PublicationRefused, TenantSuspended
from registry.schema import GenerationDocument, Vector
from retrieval.index.edge import stage
from tests.support.world import TOPICS, World, empty_world, migrated_home, published, text_about, world

__all__ = ["empty_world", "migrated_home", "published", "world"]


def suspend(world: World, suspended: bool = True) -> None:
    with world.registry.write() as session:
        tenants.suspend(session, tenants.find(session, world.tenant), suspended)


def then_suspended(world: World, call: Callable[..., Any], at: int = 1) -> Callable[..., Any]:
    """The same call; at the `at`-th the tenant is suspended from elsewhere, before it returns."""
    calls = 0

    def wrapped(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        result = call(*arguments, **named)
        if calls == at:
            suspend(world)
        return result

    return wrapped


def grown(world: World, documents: int = 60) -> None:
    world.commit({f"e{n}": text_about(f"extra{n}") for n in range(documents)})
    world.capture()


def test_no_run_begins(published: World) -> None:
    grown(published)
    suspend(published)
    with pytest.raises(TenantSuspended):
        published.build()
    assert due_tenants(published.registry, published.ingestion.configuration, published.clock) == []
    suspend(published, False)
    assert published.run().status == "published"


def test_a_run_stops_at_its_next_batch_of_texts(published: World, monkeypatch: pytest.MonkeyPatch) -> None:
    grown(published)
    with published.reading() as session:
        before = session.query(Vector).count()
    encoded = len(published.encoder.encoded)
    monkeypatch.setattr(
        published.encoder, "encode", then_suspended(published, published.encoder.encode, at=2)
    )
    with pytest.raises(TenantSuspended):
        published.build()
    assert len(published.encoder.encoded) - encoded == 16, "two batches of eight, and no more"
    with published.reading() as session:
        assert session.query(Vector).count() - before == 8, "nothing is written for it any more"


def test_a_run_stops_at_its_next_batch_of_documents(
    published: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown(published)
    preparer = type(published.ingestion.preparer)
    calls: list[Any] = []
    prepare = then_suspended(published, preparer.prepare, at=5)

    def counted(*arguments: Any) -> Any:
        calls.append(arguments)
        return prepare(*arguments)

    monkeypatch.setattr(preparer, "prepare", counted)
    with pytest.raises(TenantSuspended):
        published.build()
    assert 5 <= len(calls) <= 32, "one batch"


def test_a_run_stops_while_it_writes_the_index(published: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.build.staging.BATCH", 16)
    grown(published)
    upserts: list[int] = []
    upsert = then_suspended(published, stage.EdgeStage.upsert, at=2)

    def counted(self: Any, points: Any) -> Any:
        upserts.append(len(points))
        return upsert(self, points)

    monkeypatch.setattr(stage.EdgeStage, "upsert", counted)
    with pytest.raises(TenantSuspended):
        published.build()
    assert len(upserts) == 2
    assert published.ingestion.candidate(published.tenant) is None
    suspend(published, False)
    monkeypatch.undo()
    encoded = len(published.encoder.encoded)
    outcome = published.run()
    assert (outcome.status, outcome.embedded) == ("published", 0)
    assert len(published.encoder.encoded) > encoded, "the gate asked"


def test_nothing_is_published(published: World) -> None:
    grown(published)
    outcome = published.build("run")
    assert outcome.generation is not None
    published.ingestion.judge(published.tenant, outcome.generation)
    suspend(published)
    with pytest.raises(PublicationRefused, match="suspended"):
        published.ingestion.publish(published.tenant, outcome.generation)


def test_its_sources_are_captured_and_its_deletions_hide_at_once_when_it_is_back(published: World) -> None:
    suspend(published)
    published.commit({"d10": text_about(TOPICS[10])}, deletes=["d0"])
    (captured,) = published.capture()
    assert (captured.commits, captured.deletes, captured.error) == (1, 1, "")
    with pytest.raises(TenantSuspended):
        published.search("harbour")
    suspend(published, False)
    assert "d0" not in published.found(f"{TOPICS[0]} file"), "before any run"
    assert published.run().status == "published"
    with published.reading() as session:
        keys = {row.key for row in session.query(GenerationDocument).filter_by(generation=2)}
    assert "d10" in keys
    assert "d0" not in keys
