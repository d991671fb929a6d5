"""The seeded schedule: one step after another, others let in at the crash points within a step. Reproducible."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest
from sqlalchemy.orm import Session

from registry import crash_points
from registry.database import Registry
from tests.acceptance.consistency.accidents import Accidents
from tests.acceptance.consistency.ending import end
from tests.acceptance.consistency.operating import Operator
from tests.acceptance.consistency.reading import Readers
from tests.acceptance.consistency.record import FOREVER
from tests.acceptance.consistency.trial import Trial

A_WHILE = 0.05  # seconds: longer than the window of sources that have clocks of their own
NAME_IS_FREE = 15  # steps between an erasure and the next of that name
ROOMS = ("registry", "retrieval", "canaries", "pipelines", "cli")


class Crash(BaseException):
    """A process that died, as far as that can be had within one: whatever was not committed is not so."""


@dataclass
class Steps:
    """Draws the steps. `crashes` is the chance of dying at a crash point whose name begins with `dying_in`,
    `let_in` that of letting others in there.

    With `removals` sources go and come back; after `erase_after` steps the last tenant is erased.
    """

    trial: Trial
    random: random.Random
    accidents: bool = False
    removals: bool = False
    erase_after: int | None = None
    crashes: float = 0.01
    dying_in: str = ""
    let_in: float = 0.15
    writing: int = 0
    taken: int = 0
    _begun: bool = False
    _inside: bool = False
    _pending: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.operator, self.readers = Operator(self.trial), Readers(self.trial)
        self.accident = Accidents(self.trial)

    def run(self, steps: int) -> None:
        """So many steps, then quiet until everything is served."""
        began = time.monotonic()
        self.trial.around = self.passing
        self.begin()
        self.go_on(steps)
        self.settle()
        end(self.trial)
        self.trial.record.seconds = time.monotonic() - began

    def begin(self) -> None:
        """The first generations, undisturbed."""
        for source in self.trial.source_ids:
            self.trial.capture(source)
            self.trial.world.clock.advance(10)
            self.trial.capture(source)
        for tenant in self.trial.tenants:
            self.trial.ingest(tenant)
        self._begun = True

    def go_on(self, steps: int) -> None:
        """So many steps more."""
        for _ in range(steps):
            self.trial.world.clock.advance(self.random.choice((0, 0, 1, 5)))
            self._alive(self._due() or self.random.choice(self._choices()))
            self.taken += 1

    def settle(self) -> None:
        """What waits for a person is decided, what was removed is added, and nothing more happens in between."""
        self.crashes = self.let_in = 0.0
        for tenant in list(self._pending):
            self._settle(tenant)
        for name in list(self.trial.away):
            self.operator.add_again(name)
        while due := self._due():
            self.taken += NAME_IS_FREE
            due()

    def _due(self) -> Callable[[], object] | None:
        """The erasure, from its time on until it is done; some steps later the name is given again."""
        victim = list(self.trial.tenants)[-1]
        erased = self.trial.record.erased.get(victim)
        if self.erase_after is None or self.taken < self.erase_after or victim in self._pending:
            return None
        if erased is None or erased.ended == FOREVER:
            return lambda: self.operator.erase(victim)
        shared = self.trial.source_ids.keys() - self.trial.owners.keys()
        if victim in self.trial.named_again or not shared or self.taken < self.erase_after + NAME_IS_FREE:
            return None
        return lambda: self._undisturbed(lambda: self.operator.begin_again(victim))

    def passing(self, where: str) -> None:
        """A crash point, or another place where others may come in between."""
        if self._inside or not self._begun:
            return
        deadly = ":" in where and where.startswith(self.dying_in)
        if deadly and self.random.random() < self.crashes:
            self.trial.record.crashes += 1
            raise Crash(where)
        if self.random.random() < self.let_in:
            self._inside = True
            try:
                self._between(where)
            finally:
                self._inside = False

    def _between(self, where: str) -> None:
        tenant = self.random.choice(list(self.trial.tenants))
        self.readers.ask(tenant, self.random)
        # Nobody else can write within a write transaction of the registry, nor capture within a capture.
        if self.writing or where.startswith("capture"):
            return
        if tenant not in self._pending:
            self.trial.write(tenant)
        if self.trial.source_ids:
            self.trial.capture(self.random.choice(list(self.trial.source_ids)))
        self.readers.ask(tenant, self.random)

    def _alive(self, step: Callable[[], object]) -> None:
        with suppress(Crash):
            step()

    def _choices(self) -> list[Callable[[], object]]:
        trial, tenant = self.trial, self.random.choice(list(self.trial.tenants))
        source = self.random.choice(list(trial.source_ids) or [""])
        steps: list[Callable[[], object]] = [lambda: trial.capture(source)] * 5
        if self.removals:
            steps.append(lambda: self._remove_or_add(source))
        steps.append(lambda: self.operator.look_after_letters(tenant, self.random))
        steps += [lambda: self.readers.ask(tenant, self.random)] * 8
        steps += [lambda: trial.ingest(tenant)] * 4
        steps += [trial.wander] * 2
        steps += [lambda: self._roll_back(tenant)] * 2
        steps += [lambda: self.operator.publish_again(tenant, self.random)] * 2
        steps += [lambda: self.operator.resume(tenant)] * 2
        if tenant in self._pending:
            return [*steps, *[lambda: self._settle(tenant)] * 2]
        steps += [lambda: trial.write(tenant)] * 8
        able = self.accidents and tenant in trial.present()
        return [*steps, *[lambda: self._accident(tenant)] * 3] if able else steps

    def _remove_or_add(self, source: str) -> None:
        """One source at a time, and none of which deletions wait for a person."""
        if self.trial.away:
            self.operator.add_again(next(iter(self.trial.away)))
        elif source and not self._pending:
            self.operator.remove(source)
            for tenant in self.trial.tenants:
                self.readers.ask(tenant, self.random)

    def _roll_back(self, tenant: str) -> None:
        if self.operator.roll_back(tenant):
            # Who rolled back looks at what is served now.
            self.readers.ask(tenant, self.random)

    def _accident(self, tenant: str) -> None:
        writer, _ = self.trial.workloads[tenant]
        source = self.trial.label_of(writer)
        if source is None:
            return
        self._captured(source)
        if not self.accident.would_be_a_mass(tenant):
            return
        self._pending[tenant] = len(writer.history.commits) - 1
        self.accident.happen(tenant)
        self._captured(source)

    def _rest(self) -> None:
        """Every source is quiet where it is."""
        for source in list(self.trial.source_ids):
            self._captured(source)
            self.trial.world.clock.advance(10)
            time.sleep(A_WHILE)
            self._captured(source)

    def _captured(self, source: str) -> None:
        """Nothing else is in the same look as the accident, and it is in one."""
        self._undisturbed(lambda: self.trial.capture(source))

    def _undisturbed(self, step: Callable[[], object]) -> None:
        crashes, self.crashes, inside, self._inside = self.crashes, 0.0, self._inside, True
        step()
        self.crashes, self._inside = crashes, inside

    def _settle(self, tenant: str) -> None:
        how = self.random.choice(("confirm", "reject", "reject", "mend"))
        if how == "confirm":
            # First, and long enough ago: of the few pages that the accident left, any two would be a mass.
            self.accident.start_anew(tenant)
            self._rest()
            self.accident.decide(tenant, "confirmed")
        elif how == "reject":
            self.accident.decide(tenant, "rejected")
            after = self.random.choice((self.accident.start_anew, self._mend, lambda _: None))
            after(tenant)
        else:
            self._mend(tenant)
        del self._pending[tenant]  # not where somebody died over it

    def _mend(self, tenant: str) -> None:
        self.accident.mend(tenant, self._pending[tenant])
        # Seen before anything of it goes again: else that is still what waits.
        if label := self.trial.label_of(self.trial.workloads[tenant][0]):
            self._captured(label)


def instrument(patch: pytest.MonkeyPatch, steps: Steps) -> None:
    """Have every crash point of the product call `passing`, wherever it was imported to."""
    original = crash_points.crash_point
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ROOMS and getattr(module, "crash_point", None) is original:
            patch.setattr(module, "crash_point", steps.passing)
    write = Registry.write

    @contextmanager
    def counted(registry: Registry) -> Iterator[Session]:
        steps.writing += 1
        try:
            with write(registry) as session:
                yield session
        finally:
            steps.writing -= 1

    patch.setattr(Registry, "write", counted)
