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
from tests.acceptance.consistency.ending import end
from tests.acceptance.consistency.trial import Trial

ROOMS = ("registry", "retrieval", "canaries", "pipelines")


class Crash(BaseException):
    """A process that died, as far as that can be had within one: whatever was not committed is not so."""


@dataclass
class Steps:
    """Draws the steps. `crashes` is the chance of dying at a crash point whose name begins with `dying_in`,
    `let_in` that of letting others in there.
    """

    trial: Trial
    random: random.Random
    accidents: bool = False
    crashes: float = 0.01
    dying_in: str = ""
    let_in: float = 0.15
    writing: int = 0
    _begun: bool = False
    _inside: bool = False
    _pending: dict[str, int] = field(default_factory=dict)

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
            self._alive(self.random.choice(self._choices()))

    def settle(self) -> None:
        """What waits for a person is decided, and nothing more happens in between."""
        self.crashes = self.let_in = 0.0
        for tenant in list(self._pending):
            self._settle(tenant)

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
        self.trial.ask(tenant, self.random)
        # Nobody else can write within a write transaction of the registry, nor capture within a capture.
        if self.writing or where.startswith("capture"):
            return
        if tenant not in self._pending:
            self.trial.write(tenant)
        self.trial.capture(self.random.choice(list(self.trial.source_ids)))
        self.trial.ask(tenant, self.random)

    def _alive(self, step: Callable[[], object]) -> None:
        with suppress(Crash):
            step()

    def _choices(self) -> list[Callable[[], object]]:
        trial, tenant = self.trial, self.random.choice(list(self.trial.tenants))
        source = self.random.choice(list(trial.source_ids))
        steps: list[Callable[[], object]] = [lambda: trial.capture(source)] * 5
        steps += [lambda: trial.ask(tenant, self.random)] * 8
        steps += [lambda: trial.ingest(tenant)] * 4
        steps += [trial.wander] * 2
        steps += [lambda: self._roll_back(tenant)] * 2
        steps += [lambda: trial.publish_again(tenant, self.random)] * 2
        steps += [lambda: trial.resume(tenant)] * 2
        if tenant in self._pending:
            return [*steps, *[lambda: self._settle(tenant)] * 2]
        steps += [lambda: trial.write(tenant)] * 8
        return [*steps, *[lambda: self._accident(tenant)] * 2] if self.accidents else steps

    def _roll_back(self, tenant: str) -> None:
        if self.trial.roll_back(tenant):
            # Who rolled back looks at what is served now.
            self.trial.ask(tenant, self.random)

    def _accident(self, tenant: str) -> None:
        writer, _ = self.trial.workloads[tenant]
        source = writer.history.source
        self._captured(source)
        if not self.trial.would_be_a_mass(tenant):
            return
        self._pending[tenant] = len(writer.history.commits) - 1
        self.trial.suffer_accident(tenant)
        self._captured(source)

    def _captured(self, source: str) -> None:
        """Nothing else is in the same look as the accident, and it is in one."""
        crashes, self.crashes, inside, self._inside = self.crashes, 0.0, self._inside, True
        self.trial.capture(source)
        self.crashes, self._inside = crashes, inside

    def _settle(self, tenant: str) -> None:
        if self.random.random() < 0.5:
            self.trial.confirm(tenant)
        else:
            self.trial.mend(tenant, self._pending[tenant])
        del self._pending[tenant]  # not where somebody died over it


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
