"""What never was served is no loss: removing it is no mass deletion, and covers up none."""

from __future__ import annotations

from tests.support.world import World, empty_world, migrated_home, published, text_about, world

__all__ = ["empty_world", "migrated_home", "published", "world"]

BROKEN = {f"broken{n}": "x" * 200_000 for n in range(8)}


def quarantined(world: World) -> None:
    """Eight documents that could not be parsed, beside ten that are served."""
    world.commit(BROKEN)
    assert world.run().status == "published"
    assert sum(state == "quarantined" for state in world.documents().values()) == 8


def test_removing_what_was_broken_and_never_served_is_not_held(published: World) -> None:
    quarantined(published)
    published.commit(deletes=list(BROKEN))
    (captured,) = published.capture()
    assert captured.held == []
    outcome = published.run()
    assert (outcome.status, outcome.documents.quarantined) == ("published", 0)
    assert published.alerts("mass_deletion_held") == []


def test_what_was_served_is_held_by_its_share_of_what_is_served(published: World) -> None:
    """Two of ten are let through, three are not, however many broken ones lie beside them or go with them."""
    quarantined(published)
    published.commit(deletes=["d1", "d2", "broken0", "broken1"])
    assert published.capture()[0].held == []
    published.commit(deletes=["d3", "broken2"])
    (captured,) = published.capture()
    assert len(captured.held) == 1
    (alert,) = published.alerts("mass_deletion_held")
    assert "deletions of 1 of 10 documents" in alert.subject


def test_a_stale_document_is_served_and_counts(published: World) -> None:
    published.commit({f"d{n}": "x" * 200_000 for n in range(3)})
    assert published.run().documents.stale == 3
    published.commit(deletes=["d0", "d1", "d2"])
    assert len(published.capture()[0].held) == 1


def test_what_was_mended_and_published_counts_again(published: World) -> None:
    quarantined(published)
    published.commit({key: text_about("volcano", version=n) for n, key in enumerate(BROKEN)})
    assert published.run().status == "published"
    published.commit(deletes=list(BROKEN))
    assert len(published.capture()[0].held) == 1
