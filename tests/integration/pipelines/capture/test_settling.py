"""An ingest whose source changed just now looks again after its window, for a while and no longer."""

from __future__ import annotations

import pytest

from pipelines.ingestion.ingestion import CLOCK_MARGIN, SETTLING_PATIENCE
from tests.support.world import World, empty_world, migrated_home, text_about, world

__all__ = ["empty_world", "migrated_home", "world"]


@pytest.mark.parametrize(("window", "waited"), [(1, True), (SETTLING_PATIENCE, True), (60, False)])
def test_a_short_window_is_waited_for_and_a_long_one_is_not(
    world: World, window: float, waited: bool
) -> None:
    world.add_source("fresh", quiescence=str(window), max_staleness="600")
    world.commit({"a": text_about("harbour")}, source="fresh")
    before = world.clock()
    world.capture()
    assert (world.clock() - before).total_seconds() == pytest.approx(window + CLOCK_MARGIN if waited else 0)
    assert world.run().status == ("published" if waited else "unchanged")


def test_a_source_that_never_pauses_is_not_waited_for_for_ever(world: World) -> None:
    world.add_source("busy", quiescence="0.97", max_staleness="600")
    world.commit({"a": text_about("harbour")}, source="busy")
    advance = world.clock.advance

    def written_meanwhile(seconds: float) -> None:
        advance(seconds)
        world.script("busy").append(
            world.clock(), {"a": text_about("harbour", version=int(world.clock().timestamp()))}
        )

    object.__setattr__(world.ingestion, "pause", written_meanwhile)
    before = world.clock()
    world.capture()
    assert 0 < (world.clock() - before).total_seconds() <= SETTLING_PATIENCE + CLOCK_MARGIN
