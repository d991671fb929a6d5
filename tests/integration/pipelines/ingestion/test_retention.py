"""Retention, and what killed or fenced-off runs and erasures left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli import examination
from cli.erasure import erase_tenant, finish_erasures, leftovers, resume_erasure
from pipelines.build.fence import Fence
from pipelines.errors import IngestRefused
from pipelines.ingestion.retention import remove_unserved
from registry import generations, leases, tenants
from registry.clock import utc_now
from registry.errors import TenantSuspended
from registry.schema import Generation, Tenant
from retrieval.index.edge.files import copy_tree
from retrieval.index.store import GenerationRef
from tests.support.fake_encoder import fake_identity
from tests.support.world import TOPICS, World, empty_world, migrated_home, published, text_about, world

__all__ = ["empty_world", "migrated_home", "published", "world"]


def remove(world: World) -> list[int]:
    return remove_unserved(world.registry, world.store, world.tenant, world.clock)


def folder(world: World, number: int) -> Path:
    return world.settings.index / world.tenant / str(number)


def set_status(world: World, number: int, status: str) -> None:
    with world.registry.write() as session:
        generations.get(session, world.tenant, number).status = status


@pytest.fixture
def twice(published: World) -> World:
    published.commit({"d0": text_about(TOPICS[0], version=2)})
    assert published.run().status == "published"
    return published


def test_what_a_fenced_off_run_sealed_after_its_removal_goes_too(twice: World) -> None:
    set_status(twice, 1, "abandoned")
    assert remove(twice) == [1]
    copy_tree(folder(twice, 2), folder(twice, 1))
    with twice.reading() as session:
        first = session.get_one(Generation, (twice.tenant, 1)).removed_at
    twice.clock.advance(60)
    assert remove(twice) == [1]
    with twice.reading() as session:
        assert session.get_one(Generation, (twice.tenant, 1)).removed_at == first
    assert twice.index_entries() == ["2"]


def test_what_the_registry_never_heard_of_goes_and_its_number_can_be_used(twice: World) -> None:
    """A registry that was put back to an older state gives numbers that are on disk already."""
    copy_tree(folder(twice, 2), folder(twice, 3))
    twice.commit({"d1": text_about(TOPICS[1], version=2)})
    assert twice.run().status == "published"
    assert twice.live().number == 3  # type: ignore[union-attr]


def test_what_is_served_or_may_be_judged_again_stays(twice: World) -> None:
    assert remove(twice) == []
    set_status(twice, 2, "rejected")
    assert remove(twice) == []
    set_status(twice, 2, "candidate")
    assert remove(twice) == []
    assert twice.index_entries() == ["1", "2"]


def test_one_that_is_read_is_left_for_next_time(twice: World) -> None:
    set_status(twice, 1, "retired")
    with twice.store.open(GenerationRef(twice.tenant, 1)):
        assert remove(twice) == []
    assert remove(twice) == [1]


def test_a_fence_lets_nobody_write_who_was_taken_over(published: World) -> None:
    name = leases.ingest_lease(published.tenant)

    def take(holder: str) -> int:
        with published.registry.write() as session:
            found = leases.acquire(session, name, leases.Holder.current(holder), 30, published.clock())
        published.clock.advance(60)
        return found

    first = Fence(published.tenant, take("one"))
    with published.registry.write() as session:
        first.check(session)
    second = Fence(published.tenant, take("two"))
    with published.registry.write() as session:
        second.check(session)
        with pytest.raises(IngestRefused, match="another run took over"):
            first.check(session)
        tenants.suspend(session, session.get_one(Tenant, published.tenant), True)
        with pytest.raises(TenantSuspended):
            second.check(session)


def cut_off(world: World) -> None:
    """An erasure that ended with its transaction."""
    mirror = world.settings.state / "mirrors" / "0123.git"
    mirror.mkdir(parents=True)
    with world.registry.write() as session:
        tenants.erase(session, tenants.find(session, world.tenant))


def test_an_erasure_that_was_cut_off_is_told_and_finished(
    published: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination, "identify", lambda _: fake_identity())
    monkeypatch.setattr("cli.erasure.synchronise_partitions", lambda *_: None)
    cut_off(published)
    found = examination.examine(published.registry, published.settings, utc_now())
    (told,) = [finding for finding in found if finding.check == "erasures"]
    assert told.colour == "red"
    assert "holdfast init" in told.summary
    done = resume_erasure(published.registry, published.settings, "acme")
    assert done is not None
    assert (done.tenant, done.status, done.generations) == ("acme", "erased", 1)
    assert not (published.settings.index / published.tenant).exists()
    assert not leftovers(published.registry, published.settings)
    assert resume_erasure(published.registry, published.settings, "acme") is None


def test_finishing_erasures_touches_nobody_else(published: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.erasure.synchronise_partitions", lambda *_: None)
    erased = published.tenant
    other = published.add_tenant("other")
    published.add_source("others")
    published.commit({"x": text_about("walnut")}, source="others")
    assert published.run(other).status == "published"
    with published.registry.read() as session:
        acme = tenants.find(session, erased)
    erase_tenant(published.registry, published.settings, acme)
    assert not finish_erasures(published.registry, published.settings)
    assert published.found("walnut", tenant=other) == ["x"]
