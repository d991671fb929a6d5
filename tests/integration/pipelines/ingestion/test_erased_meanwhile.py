"""A tenant that is erased while it is built: the build ends for that reason, wherever it has got to."""

from __future__ import annotations

import pytest

from cli import erasure
from registry import tenants
from registry.errors import NotFound
from retrieval.index.edge import stage
from tests.support.world import World, empty_world, migrated_home, published, text_about, world

__all__ = ["empty_world", "migrated_home", "published", "world"]


@pytest.mark.parametrize(
    "point", ["stage:upserted", "seal:vacuumed", "seal:flushed", "seal:manifest-written"]
)
def test_a_build_under_which_the_tenant_is_erased_says_so(
    published: World, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    monkeypatch.setattr(erasure, "synchronise_partitions", lambda *_: None)

    def erase_at(where: str) -> None:
        if where == point:
            with published.reading() as session:
                found = tenants.find(session, published.tenant)
            erasure.erase_tenant(published.registry, published.settings, found)

    published.commit({"d0": text_about("violin", 9)})
    published.capture()
    monkeypatch.setattr(stage, "crash_point", erase_at)
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
