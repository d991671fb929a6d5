"""Builds of an index: the first one, differences, refusals, and what they leave behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from registry import builds
from tests.acceptance.crash import homes
from tests.acceptance.crash.homes import LATER, NOW, opened
from tests.acceptance.crash.scenarios.scenario import upon
from tests.support.world import TOPICS, World, text_about


def questions(count: int = 10) -> dict[str, list[str]]:
    return {f"what does the {topic} file say": [f"d{n}"] for n, topic in enumerate(TOPICS[:count])}


def begun(home: Path) -> None:
    """A tenant, a source, ten documents, a canary for each. Nothing captured yet."""
    homes.migrated(home)
    with opened(home) as world:
        world.add_tenant()
        world.add_source()
        commit(world, 1, {f"d{n}": text_about(topic) for n, topic in enumerate(TOPICS[:10])})
        world.ask_about(questions())


def commit(world: World, minute: int, upserts: Any = None, deletes: Any = (), unreadable: Any = None) -> None:
    world.clock.now = homes.START.replace(minute=minute)
    world.script().append(world.clock(), upserts, deletes, unreadable)
    world.clock.now = NOW


def run(home: Path) -> None:
    with opened(home) as world:
        world.run()


def run_to_the_end(home: Path) -> None:
    """The next run, and one more, which finds nothing to do but to tidy up."""
    with opened(home, LATER) as world:
        first = world.run()
        assert first.status in ("published", "unchanged"), (first.status, first.reason, first.checks)
        second = world.run()
        assert second.status == "unchanged", (second.status, second.reason)


@upon(begun)
def published(home: Path) -> None:
    run(home)


@upon(published)
def cut_off(home: Path) -> None:
    """A run was killed while it built what is not wanted any more: how far it was is still noted."""
    with opened(home) as world, world.registry.write() as session:
        builds.begin(session, world.tenant, "cut-off", "update", "", NOW)


def run_slowly(home: Path) -> None:
    """Each look at the clock is a second later, so that a build notes how far it is."""
    with opened(home) as world:
        clock = world.clock
        tick = type(clock).__call__

        def later(self: Any) -> Any:
            self.advance(1)
            return tick(self)

        type(clock).__call__ = later  # type: ignore[method-assign]
        try:
            world.run()
        finally:
            type(clock).__call__ = tick  # type: ignore[method-assign]


@upon(published)
def changed(home: Path) -> None:
    """Generation 1 is live; three edits, an addition and a deletion wait."""
    with opened(home) as world:
        edits = {f"d{n}": text_about(TOPICS[n], version=2) for n in range(3)}
        commit(world, 2, edits | {"d10": text_about(TOPICS[10])}, ["d9"])


@upon(changed)
def retaining_one(home: Path) -> None:
    """Two generations, one retained: the next publication retires one."""
    with opened(home) as world:
        world.set_contract(retained_generations=1)
        assert world.run().status == "published"
        commit(world, 3, {"d0": text_about(TOPICS[0], version=3)})


@upon(changed)
def asked_in_vain(home: Path) -> None:
    """As `changed`, but a canary asks for documents that were never there."""
    with opened(home) as world:
        lost = {f"lost thing {n}": [f"never-{n}"] for n in range(4)}
        world.ask_about(questions() | lost)


def rejected_then_mended(home: Path) -> None:
    """The next run is refused too; then the canaries are mended, and it is judged again."""
    with opened(home, LATER) as world:
        assert world.run().status == "rejected"
        live = world.live()
        assert live is not None
        assert live.number == 1
        world.ask_about(questions())
    run_to_the_end(home)


@upon(asked_in_vain)
def rejected(home: Path) -> None:
    """A candidate was refused; its canaries are mended since."""
    with opened(home) as world:
        assert world.run().status == "rejected"
        world.ask_about(questions())


@upon(changed)
def two_generations(home: Path) -> None:
    run(home)
