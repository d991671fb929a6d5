"""The free schedule: writers, capturer, ingesters, readers and an operator, each a thread, all at once."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from tests.acceptance.consistency.ending import end, publish_all
from tests.acceptance.consistency.operating import Operator
from tests.acceptance.consistency.reading import Readers
from tests.acceptance.consistency.trial import Trial

OVERTIME = 120.0


@dataclass
class Threads:
    """Runs until the writers have made so many transactions each, then until all is quiet. `pause` is theirs."""

    trial: Trial
    seed: str
    pause: float = 0.1
    _stop: threading.Event = field(default_factory=threading.Event)
    _errors: list[BaseException] = field(default_factory=list)

    def run(self, transactions: int, readers: int = 2) -> None:
        """Raises what any thread raised."""
        trial, began = self.trial, time.monotonic()
        for tenant in trial.tenants:
            publish_all(trial, tenant)
        writers = [self._begun(f"writer of {t}", self._writing(t, transactions)) for t in trial.tenants]
        if trial.nomads is not None:
            writers.append(self._begun("nomads", self._wandering(transactions // 2)))
        others = [self._begun("capturer", self._capturing)]
        others += [self._begun(f"ingester of {t}", self._ingesting(t)) for t in trial.tenants]
        others += [self._begun(f"reader {n}", self._reading(n, "search")) for n in range(readers)]
        if trial.api is not None:
            others.append(self._begun("client", self._reading(readers, "api")))
        others.append(self._begun("operator", self._operating))
        others.append(self._begun("another operator", self._upheaving(transactions)))
        self._finish(writers, others)
        for name in list(trial.away):
            Operator(trial).add_again(name)
        for tenant in trial.record.erased:
            if trial.source_ids.keys() - trial.owners.keys():
                Operator(trial).begin_again(tenant)
        end(trial)
        trial.record.seconds = time.monotonic() - began

    def _finish(self, writers: list[threading.Thread], others: list[threading.Thread]) -> None:
        for thread in writers:
            thread.join()
        self._stop.set()
        for thread in others:
            thread.join(OVERTIME)
        if self._errors:
            raise self._errors[0]
        alive = [thread.name for thread in others if thread.is_alive()]
        assert not alive, f"still running: {alive}"

    def _begun(self, name: str, work: Callable[[random.Random], None]) -> threading.Thread:
        chosen = random.Random(f"{self.seed}/{name}")

        def run() -> None:
            try:
                work(chosen)
            except BaseException as error:  # raised again by `run`
                self._errors.append(error)
                self._stop.set()

        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        return thread

    def _writing(self, tenant: str, transactions: int) -> Callable[[random.Random], None]:
        def write(chosen: random.Random) -> None:
            for _ in range(transactions):
                if self._stop.is_set():
                    return
                self.trial.write(tenant)
                time.sleep(chosen.expovariate(1 / self.pause) if self.pause else 0)

        return write

    def _wandering(self, transactions: int) -> Callable[[random.Random], None]:
        def wander(chosen: random.Random) -> None:
            for _ in range(transactions):
                if self._stop.is_set():
                    return
                self.trial.wander()
                time.sleep(chosen.expovariate(0.5 / self.pause) if self.pause else 0)

        return wander

    def _capturing(self, chosen: random.Random) -> None:
        while not self._stop.is_set():
            for source in list(self.trial.source_ids):
                self.trial.capture(source)
            time.sleep(chosen.random() * 0.05)

    def _ingesting(self, tenant: str) -> Callable[[random.Random], None]:
        def ingest(chosen: random.Random) -> None:
            while not self._stop.is_set():
                self.trial.ingest(tenant)
                time.sleep(chosen.random() * 0.1)

        return ingest

    def _reading(self, number: int, through: Literal["search", "api"]) -> Callable[[random.Random], None]:
        def read(chosen: random.Random) -> None:
            while not self._stop.is_set():
                Readers(self.trial).ask(chosen.choice(list(self.trial.tenants)), chosen, through)
                time.sleep(chosen.random() * 0.02)

        return read

    def _operating(self, chosen: random.Random) -> None:
        """Now and then somebody rolls back, and some time later resumes."""
        operator = Operator(self.trial)
        while not self._stop.wait(0.2 + chosen.random() * 0.5):
            tenant = chosen.choice(list(self.trial.tenants))
            if operator.roll_back(tenant):
                self._stop.wait(chosen.random() * 0.3)
                operator.resume(tenant)
            if chosen.random() < 0.3:
                operator.publish_again(tenant, chosen)

    def _upheaving(self, transactions: int) -> Callable[[random.Random], None]:
        """After a third of the transactions a source is removed, and added again; after two thirds a tenant goes."""

        def upheave(chosen: random.Random) -> None:
            trial, operator = self.trial, Operator(self.trial)
            if self._written(transactions // 3):
                operator.remove(chosen.choice(list(trial.source_ids)))
                self._stop.wait(chosen.random())
                operator.add_again(next(iter(trial.away)))
            if self._written(2 * transactions // 3):
                operator.erase(list(trial.tenants)[-1])

        return upheave

    def _written(self, transactions: int) -> bool:
        """Wait until a source has had so many of each writer; False where everything stops before."""
        writers = [writer for writer, _ in self.trial.workloads.values()]
        history, sharing = writers[0].history, writers.count(writers[0])
        while len(history.commits) < transactions * sharing:
            if self._stop.wait(0.05):
                return False
        return True
