"""A tenant that is erased while it is built, judged or rebuilt: that ends for this reason, wherever it has got to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cli import erasure
from pipelines.ingestion import rebuild as rebuilding
from pipelines.ingestion import recording
from registry import leases, tenants
from registry.errors import NotFound
from registry.schema import Lease
from retrieval.index.edge import stage, store
from retrieval.opening import open_store
from tests.support.world import World, empty_world, migrated_home, published, text_about, world

__all__ = ["empty_world", "migrated_home", "published", "world"]


def erase(world: World) -> None:
    with world.reading() as session:
        found = tenants.find(session, world.tenant)
    erasure.erase_tenant(world.registry, world.settings, found)


@pytest.fixture(autouse=True)
def _without_dagster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "synchronise_partitions", lambda *_: None)


def nothing_is_left(world: World) -> bool:
    """Neither a folder, which would pass for an erasure that was cut off, nor a lease."""
    with world.reading() as session:
        lease = session.get(Lease, leases.ingest_lease(world.tenant))
    return lease is None and not erasure.leftovers(world.registry, world.settings)


def erase_at(world: World, wanted: str) -> Callable[[str], None]:
    return lambda point: erase(world) if point == wanted else None


@pytest.mark.parametrize(
    "point", ["stage:upserted", "seal:vacuumed", "seal:flushed", "seal:manifest-written"]
)
def test_a_build_under_which_the_tenant_is_erased_says_so(
    published: World, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    published.commit({"d0": text_about("violin", 9)})
    published.capture()
    monkeypatch.setattr(stage, "crash_point", erase_at(published, point))
    with pytest.raises(NotFound, match="there is no tenant"):
        published.build()
    monkeypatch.undo()
    assert nothing_is_left(published)
    erasure.finish_erasures(published.registry, published.settings)
    assert published.index_entries() == []


def test_what_fails_for_another_reason_fails_as_it_did(
    published: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(where: str) -> None:
        raise KeyError(where)

    published.commit({"d0": text_about("violin", 9)})
    published.capture()
    monkeypatch.setattr(stage, "crash_point", fail)
    with pytest.raises(KeyError):
        published.build()


@pytest.mark.parametrize("anew", [False, True])
def test_a_build_that_makes_its_folder_again_removes_it(
    published: World, monkeypatch: pytest.MonkeyPatch, anew: bool
) -> None:
    published.commit({"d0": text_about("violin", 9)})
    published.capture()
    monkeypatch.setattr(recording, "crash_point", erase_at(published, "begin:after-commit"))
    with pytest.raises(NotFound, match="there is no tenant"):
        published.ingestion.build(published.tenant, "run", anew=anew)
    assert nothing_is_left(published)


def test_a_run_that_begins_as_its_tenant_goes_takes_no_lease(
    published: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenants, "find_active", once_after(lambda: erase(published), tenants.find_active))
    with pytest.raises(NotFound, match="there is no tenant"):
        published.build()
    monkeypatch.undo()
    assert nothing_is_left(published)


@pytest.mark.parametrize("point", ["rebuild:lease-taken", "rebuild:filled"])
def test_a_rebuild_under_which_the_tenant_is_erased_says_so(
    published: World, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    live = published.settings.index / published.tenant / "1"
    (live / "postings.npy").unlink()
    monkeypatch.setattr(rebuilding, "crash_point", erase_at(published, point))
    unread = open_store(published.settings)  # the world's own has compared it with its manifest before
    with pytest.raises(NotFound, match="there is no tenant"):
        rebuilding.rebuild(published.registry, unread, published.tenant, 30, published.clock)
    assert nothing_is_left(published)


@pytest.mark.parametrize("step", ["digest_tree", "read_manifest"])
def test_a_gate_under_which_the_tenant_is_erased_says_so(
    published: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    published.commit({"d0": text_about("violin", 9)})
    published.capture()
    built = published.build().generation
    assert built is not None
    monkeypatch.setattr(store, step, once_before(lambda: erase(published), getattr(store, step)))
    with pytest.raises(NotFound, match="there is no tenant"):
        published.ingestion.judge(published.tenant, built)


def once_after(then: Callable[[], None], call: Callable[..., object]) -> Callable[..., object]:
    """The same call; something else happens after the first one."""
    due = [then]

    def called(*given: object) -> object:
        found = call(*given)
        if due:
            due.pop()()
        return found

    return called


def once_before(first: Callable[[], None], call: Callable[..., object]) -> Callable[..., object]:
    """The same call; something else happens before the first one."""
    due = [first]

    def called(*given: object) -> object:
        if due:
            due.pop()()
        return call(*given)

    return called
