"""Every boundary between two durable effects is a named point. At each of them the process is killed (SIGKILL);
an undisturbed run in another process must then come to what it would have come to anyway.

By default each point is killed in one scenario; HOLDFAST_FULL=1 kills each in every scenario that passes it, at
its second passage too.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from registry.crash_points import VARIABLE
from tests.acceptance.crash import homes, recording, scenarios
from tests.acceptance.crash.scenarios import SCENARIOS, Undisturbed
from tests.support.children import Child, call

FULL = bool(os.environ.get("HOLDFAST_FULL"))
DECLARED = recording.declared()


class Ground:
    """One home, put in turn into the state in which each scenario begins."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self._root = root
        self._known: dict[str, Undisturbed] = {}

    def begin(self, name: str) -> None:
        """The home as a scenario finds it."""
        self._prepared(SCENARIOS[name].prepare.__name__).put_back()

    def _prepared(self, function: str) -> homes.Kept:
        kept = homes.Kept(self.home, self._root / function)
        if not kept.before.exists():
            if function in scenarios.UPON:
                self._prepared(scenarios.UPON[function]).put_back()
            else:
                homes.clear(self.home)
            call(getattr(scenarios, function), self.home)
            kept.keep()
        return kept

    def undisturbed(self, name: str) -> Undisturbed:
        """A scenario that nothing disturbed."""
        if name not in self._known:
            self.begin(name)
            self._known[name] = call(scenarios.passed_and_after, name, self.home)
        return self._known[name]

    def passing(self, point: str) -> list[str]:
        """Scenarios that pass a point."""
        return [name for name in SCENARIOS if point in self.undisturbed(name).passed]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("crash"))


def test_every_crash_point_stands_in_one_place() -> None:
    assert {name for name, times in DECLARED.items() if times > 1} == set()
    assert len(DECLARED) > 40


def test_every_crash_point_is_passed_by_a_scenario(ground: Ground) -> None:
    assert {point for point in DECLARED if not ground.passing(point)} == set()


@pytest.mark.parametrize("name", ["first-build", "difference-build", "publish-and-retention", "judged-again"])
def test_what_nothing_disturbed_is_a_fresh_build_of_the_same_pin(ground: Ground, name: str) -> None:
    wanted = ground.undisturbed(name)
    ground.begin(name)
    call(scenarios.after, name, ground.home)
    digest, points = call(homes.built_fresh, ground.home)
    assert digest == wanted.outcome["digest"]
    assert points == wanted.outcome["points"]
    assert len(points) >= 20


@pytest.mark.parametrize("point", sorted(DECLARED))
def test_killed_at_a_point_the_next_run_converges(ground: Ground, point: str) -> None:
    passing = ground.passing(point)
    assert passing, f"no scenario passes {point}"
    for name in passing if FULL else passing[:1]:
        times = ground.undisturbed(name).passed[point]
        for passage in range(1, min(times, 2 if FULL else 1) + 1):
            kill_and_converge(ground, name, f"{point}#{passage}")


def kill_and_converge(ground: Ground, name: str, at: str) -> None:
    wanted = ground.undisturbed(name)
    ground.begin(name)
    killed = Child(scenarios.kill_at, name, ground.home, **{VARIABLE: at})
    assert killed.wait() == -9, f"{name} was not killed at {at}"
    outcome, embedded = call(scenarios.after, name, ground.home)
    assert outcome == wanted.outcome, f"{name}, killed at {at}"
    assert set(embedded) == set(wanted.embedded)
    again = sum(embedded.values()) - sum(wanted.embedded.values())
    assert again <= homes.BATCH, f"{name}, killed at {at}: {again} texts were embedded twice"
