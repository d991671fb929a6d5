"""Scenarios as they are played in children: killed, undisturbed, and converging."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.crash import homes, recording
from tests.acceptance.crash.fresh import Served, served
from tests.acceptance.crash.scenarios.catalogue import SCENARIOS


@dataclass(frozen=True)
class Ended:
    """What a scenario came to, how often each text was embedded, and every generation that is served."""

    outcome: Any
    embedded: dict[str, int]
    served: list[Served]


@dataclass(frozen=True)
class Undisturbed:
    """What a scenario passes (how often), and how it ends."""

    passed: dict[str, int]
    ended: Ended


def kill_at(scenario: str, home: Path) -> None:
    """What a child does that is killed at HOLDFAST_CRASH_AT. It must not come to its end."""
    SCENARIOS[scenario].act(home)


def passed_and_after(scenario: str, home: Path) -> Undisturbed:
    """The act that nothing disturbs, and what comes after it."""
    found = recording.record()
    SCENARIOS[scenario].act(home)
    passed = dict(found)
    return Undisturbed(passed, after(scenario, home))


def after(scenario: str, home: Path) -> Ended:
    """How it ends after converging. A restored home serves what it was made of, and is one more to look at."""
    outcome, embedded = SCENARIOS[scenario].after(home), dict(homes.embedded(home))
    places = [place for place in (home, home / "restored") if (place / "registry.sqlite3").exists()]
    return Ended(outcome, embedded, [one for place in places for one in served(place)])
