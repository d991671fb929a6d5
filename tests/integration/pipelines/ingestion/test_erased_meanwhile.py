"""A tenant that is erased while it is built or judged: that ends for this reason, wherever it has got to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cli import erasure
from registry import tenants
from registry.errors import NotFound
from retrieval.index.edge import stage, store
from tests.support.world import World, empty_world, migrated_home, published, text_about, world

__all__ = ["empty_world", "migrated_home", "published", "world"]


def erase(world: World) -> None:
    with world.reading() as session:
        found = tenants.find(session, world.tenant)
    erasure.erase_tenant(world.registry, world.settings, found)


@pytest.mark.parametrize(
    "point", ["stage:upserted", "seal:vacuumed", "seal:flushed", "seal:manifest-written"]
)
def test_a_build_under_which_the_tenant_is_erased_says_so(
    published: World, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    monkeypatch.setattr(erasure, "synchronise_partitions", lambda *_: None)
    published.commit({"d0": text_about("violin", 9)})
    published.capture()
    monkeypatch.setattr(stage, "crash_point", lambda where: erase(published) if where == point else None)
    with pytest.raises(NotFound, match="there is no tenant"):
        published.build()
    monkeypatch.undo()
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


@pytest.mark.parametrize("step", ["digest_tree", "read_manifest"])
def test_a_gate_under_which_the_tenant_is_erased_says_so(
    published: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(erasure, "synchronise_partitions", lambda *_: None)
    published.commit({"d0": text_about("violin", 9)})
    published.capture()
    built = published.build().generation
    assert built is not None
    monkeypatch.setattr(store, step, once_before(lambda: erase(published), getattr(store, step)))
    with pytest.raises(NotFound, match="there is no tenant"):
        published.ingestion.judge(published.tenant, built)


def once_before(first: Callable[[], None], call: Callable[..., object]) -> Callable[..., object]:
    """The same call; something else happens before the first one."""
    due = [first]

    def called(*given: object) -> object:
        if due:
            due.pop()()
        return call(*given)

    return called
