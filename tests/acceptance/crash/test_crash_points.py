"""Every boundary between two durable effects is a named point. At each of them the process is killed (SIGKILL);
an undisturbed run in another process must then come to what it would have come to anyway, and every generation
that any tenant can ask must be, chunk by chunk, what a build from nothing in a new home makes of its pin.

By default each point is killed in one scenario; HOLDFAST_FULL=1 kills each in every scenario that passes it, at
its second passage too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.crash_points import VARIABLE
from tests.acceptance.crash import fresh, homes, recording
from tests.acceptance.crash.fresh import FreshBuilds
from tests.acceptance.crash.scenarios import (
    OBSERVED,
    SCENARIOS,
    UPON,
    Act,
    Undisturbed,
    after,
    kill_at,
    passed_and_after,
)
from tests.support.children import Child, call

FULL = bool(os.environ.get("HOLDFAST_FULL"))
DECLARED = recording.declared()


class Ground:
    """One home, put in turn into the state in which each scenario begins."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.fresh = FreshBuilds(root)
        self.kills = 0
        self._root = root
        self._known: dict[str, Undisturbed] = {}

    def begin(self, name: str) -> None:
        """The home as a scenario finds it."""
        self._prepared(SCENARIOS[name].prepare).put_back()

    def _prepared(self, prepare: Act) -> homes.Kept:
        kept = homes.Kept(self.home, self._root / prepare.__name__)
        if not kept.before.exists():
            if prepare in UPON:
                self._prepared(UPON[prepare]).put_back()
            else:
                homes.clear(self.home)
            call(prepare, self.home)
            kept.keep()
            if prepare in OBSERVED:
                self.fresh.compare(self.home, call(fresh.served, self.home))
        return kept

    def undisturbed(self, name: str) -> Undisturbed:
        """A scenario that nothing disturbed."""
        if name not in self._known:
            self.begin(name)
            self._known[name] = call(passed_and_after, name, self.home)
            self.fresh.compare(self.home, self._known[name].ended.served)
        return self._known[name]

    def passing(self, point: str) -> list[str]:
        """Scenarios that pass a point."""
        return [name for name in SCENARIOS if point in self.undisturbed(name).passed]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    made = Ground(tmp_path_factory.mktemp("crash"))
    yield made
    print(
        f"\n{len(DECLARED)} points, {len(SCENARIOS)} scenarios, {made.kills} kills; "
        f"{made.fresh.compared} generations compared with {made.fresh.built} fresh builds"
    )


def test_every_crash_point_stands_in_one_place() -> None:
    assert {name for name, times in DECLARED.items() if times > 1} == set()
    assert len(DECLARED) > 40


def test_every_crash_point_is_passed_by_a_scenario(ground: Ground) -> None:
    assert {point for point in DECLARED if not ground.passing(point)} == set()


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_what_is_served_is_a_fresh_build_of_the_same_pin(ground: Ground, name: str) -> None:
    """Undisturbed; each killed run is compared as well. Of an erased tenant nothing is served any more."""
    ended = ground.undisturbed(name).ended
    found = ended.served
    assert bool(ended.embedded) or not SCENARIOS[name].builds, "nothing counts what is embedded"
    assert {one.pin.tenant for one in found} == {"erase": {"other"}, "migrate": set()}.get(name, {"acme"})
    assert all(one.chunks for one in found)


@pytest.mark.skipif(FULL, reason="each scenario is killed at every point that it passes")
@pytest.mark.parametrize("point", sorted(DECLARED))
def test_killed_at_a_point_the_next_run_converges(ground: Ground, point: str) -> None:
    passing = ground.passing(point)
    assert passing, f"no scenario passes {point}"
    kill_and_converge(ground, passing[0], point)


@pytest.mark.skipif(not FULL, reason="HOLDFAST_FULL=1 kills each scenario at every point that it passes")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_killed_at_every_point_that_it_passes_a_scenario_converges(ground: Ground, name: str) -> None:
    passed = ground.undisturbed(name).passed
    assert passed
    for point, times in sorted(passed.items()):
        for passage in range(1, min(times, 2) + 1):
            kill_and_converge(ground, name, f"{point}#{passage}")


def kill_and_converge(ground: Ground, name: str, at: str) -> None:
    wanted = ground.undisturbed(name).ended
    ground.begin(name)
    killed = Child(kill_at, name, ground.home, **{VARIABLE: at})
    assert killed.wait() == -9, f"{name} was not killed at {at}"
    ended = call(after, name, ground.home)
    assert ended.outcome == wanted.outcome, f"{name}, killed at {at}"
    assert [one.pin for one in ended.served] == [one.pin for one in wanted.served]
    ground.fresh.compare(ground.home, ended.served)
    assert set(ended.embedded) == set(wanted.embedded)
    again = sum(ended.embedded.values()) - sum(wanted.embedded.values())
    assert again <= homes.BATCH, f"{name}, killed at {at}: {again} texts were embedded twice"
    ground.kills += 1
