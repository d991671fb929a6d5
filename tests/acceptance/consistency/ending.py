"""The end of a trial: writers rest, everything is captured and published, readers ask once more."""

from __future__ import annotations

import random
import time
from typing import Literal

from tests.acceptance.consistency.operating import Operator
from tests.acceptance.consistency.reading import Readers
from tests.acceptance.consistency.trial import Trial

PATIENCE, PAUSE = 15.0, 0.05  # seconds


def end(trial: Trial) -> None:
    """Converge, ask everybody, and read the registry's own record of positions and moves."""
    for tenant in trial.record.erased:
        Readers(trial).ask(tenant, random.Random(0), "search" if trial.api is None else "api")
    for tenant in trial.present():
        Operator(trial).resume(tenant)
        publish_all(trial, tenant)
        _ask_in_the_end(trial, tenant, "search")
        if trial.api is not None:
            _ask_in_the_end(trial, tenant, "api")
    read_registry(trial)


def publish_all(trial: Trial, tenant: str) -> None:
    """Look and ingest until nothing is left to publish, nor to wait for."""
    until = time.monotonic() + PATIENCE
    while True:
        for source in trial.record.present(tenant):
            trial.capture(source)
        outcome = trial.ingest(tenant)
        assert outcome is not None
        if outcome.status != "published" and (not outcome.reason or time.monotonic() > until):
            return
        trial.world.clock.advance(1_000)
        time.sleep(PAUSE)


def _ask_in_the_end(trial: Trial, tenant: str, through: Literal["search", "api"]) -> None:
    newest = max(number for name, number in trial.record.audited if name == tenant)
    until = time.monotonic() + PATIENCE
    chosen = random.Random(0)
    while True:
        Readers(trial).ask(tenant, chosen, through)
        answer = trial.record.answers[-1]
        if answer.as_of is None and (answer.generation == newest or time.monotonic() > until):
            trial.record.final.append(answer)
            return


def read_registry(trial: Trial) -> None:
    """What can still be read: of an erased tenant and its own sources that was done before."""
    erased = trial.record.erased
    sources = [label for label in trial.labels.values() if trial.owners.get(label) not in erased]
    trial.read_registry(sources, trial.present())
