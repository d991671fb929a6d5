"""What a scenario is: what is prepared, what is killed, and what must be so afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.crash import homes
from tests.acceptance.crash.homes import LATER, opened

Act = Callable[[Path], Any]


@dataclass(frozen=True)
class Scenario:
    """prepare: the home before; act: what is killed; converge: what comes after it (the same, unless given);
    outcome: what must be the same as if nothing had been killed; check: what must hold besides.
    """

    name: str
    prepare: Act
    act: Act
    converge: Act | None = None
    outcome: Act | None = None
    check: Act | None = None
    builds: bool = False

    def after(self, home: Path) -> Any:
        """Converge, look for faults, and give the outcome."""
        (self.converge or self.act)(home)
        if self.check is not None:
            self.check(home)
        return (self.outcome or ending)(home)


UPON: dict[Act, Act] = {}


def upon(base: Act) -> Callable[[Act], Act]:
    """A preparation that goes on from another one, which is prepared once."""

    def remember(prepare: Act) -> Act:
        UPON[prepare] = base
        return prepare

    return remember


def ending(home: Path) -> Any:
    """The state of the home, which must be tidy."""
    with opened(home, LATER) as world:
        found = homes.state(world)
        assert homes.untidy(world) == []
        return found
