"""The consistency checker at work: no violation in what Holdfast does, and each mutant caught.

CONSISTENCY_SEED runs other trials than usual (a failing one's seed is in its message), HOLDFAST_FULL=1 long ones.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from registry.clock import utc_now
from tests.acceptance.consistency.checker import check, figures
from tests.acceptance.consistency.ending import read_registry
from tests.acceptance.consistency.mutants import MUTANTS, Mutant
from tests.acceptance.consistency.record import Record
from tests.acceptance.consistency.scenarios import (
    GITS_CLOCK,
    MACHINES_CLOCK,
    TENANTS,
    TRIALS_CLOCK,
    Timing,
    own_repositories,
    shared_table,
    wiki,
    wiki_in_postgres,
)
from tests.acceptance.consistency.stepped import Steps, instrument
from tests.acceptance.consistency.threaded import Threads
from tests.acceptance.consistency.trial import Trial
from tests.acceptance.consistency.violations import Violation
from tests.support.datasets import FULL

SEED = os.environ.get("CONSISTENCY_SEED", "1")
KINDS = ("sqlite", "git", "postgres", "sqlite and git")
AT_ONCE = KINDS if FULL else KINDS[:3]
SEEDS = [f"{SEED}.{n}" for n in range(8)] if FULL else [SEED]
STEPS = 1_500 if FULL else 80
TRANSACTIONS = 1_000 if FULL else 25
MUTANT_STEPS, AT_A_TIME = 400, 20
SHOWN = 10
STEPPED = {kind: MACHINES_CLOCK if kind == "postgres" else TRIALS_CLOCK for kind in KINDS}
THREADED = {kind: GITS_CLOCK if "git" in kind else MACHINES_CLOCK for kind in KINDS}


class RealClock:
    """The machine's. It cannot be advanced, and does so by itself."""

    def __call__(self) -> datetime:
        return utc_now()

    def advance(self, seconds: float) -> None:
        """Nothing: time passes."""


LIVELY: dict[str, Any] = {"api": True, "clock": RealClock()}


@pytest.fixture
def opened(request: pytest.FixtureRequest, folder: Path) -> Opened:
    """Opens trials."""
    return Opened(request, folder)


class Opened:
    """Makes a trial over a kind of source."""

    def __init__(self, request: pytest.FixtureRequest, folder: Path) -> None:
        self._request = request
        self._folder = folder

    def __call__(self, kind: str, seed: str, timing: Timing, **parts: Any) -> AbstractContextManager[Trial]:
        home, seed = self._folder / "home", f"{kind}, seed {seed}"
        shutil.copytree(self._request.getfixturevalue("migrated_home"), home)
        if kind == "git":
            return own_repositories(home, seed, timing, **parts)
        if kind == "sqlite and git":
            parts["repositories"] = True
        if kind.startswith("sqlite"):
            return shared_table(home, seed, wiki(self._folder), timing, **parts)
        writer = wiki_in_postgres(self._request.getfixturevalue("database"))
        return shared_table(home, seed, writer, timing, **parts)


def report(record: Record, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Print the figures, and fail with what is wrong."""
    found = check(record)
    with capsys.disabled():
        print(f"\n{how} {figures(record)}, {len(found)} violations")
    shown = "\n".join(str(violation) for violation in found[:SHOWN])
    assert not found, f"{how} {record.seed}: {len(found)} violations {dict(kinds(found))}\n{shown}"
    assert record.rejected == 0, f"the gate refused {record.rejected} generations of a sound Holdfast"
    assert len(record.audited) > len(record.sources), "too little was published to mean anything"
    assert record.answers
    assert record.final


def kinds(found: list[Violation]) -> Counter[str]:
    """How often each kind of violation was found."""
    return Counter(violation.kind for violation in found)


@pytest.mark.timeout(7_200 if FULL else 300)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_steps_in_any_order(
    opened: Opened, kind: str, seed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One step at a time, others let in at the crash points within each, some of which are fatal."""
    small = not FULL and kind in ("postgres", "sqlite and git")
    fewer: dict[str, Any] = {"tenants": TENANTS[:2]} if small else {}
    with opened(kind, seed, STEPPED[kind], **fewer) as trial:
        chosen = random.Random(trial.record.seed)
        steps = Steps(trial, chosen, accidents=True, removals=True, erase_after=STEPS * 2 // 3)
        instrument(monkeypatch, steps)
        steps.run(STEPS)
        report(trial.record, "steps:", capsys)


@pytest.mark.timeout(7_200 if FULL else 300)
@pytest.mark.parametrize("kind", AT_ONCE)
def test_all_at_once(opened: Opened, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Writers, capturer, ingesters, readers, clients of the API and an operator, each in a thread."""
    with opened(kind, SEED, THREADED[kind], **LIVELY) as trial:
        Threads(trial, trial.record.seed).run(TRANSACTIONS)
        report(trial.record, "threads:", capsys)


@pytest.mark.timeout(7_200 if FULL else 300)
def test_all_at_once_with_the_registry_in_postgres(
    opened: Opened, postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As above; here publications, captures and searches really overlap in the registry."""
    with opened("sqlite", SEED, MACHINES_CLOCK, **LIVELY, registry_url=postgres_url) as trial:
        Threads(trial, trial.record.seed).run(TRANSACTIONS)
        report(trial.record, "threads, registry in PostgreSQL:", capsys)


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_every_mutant_is_caught(
    opened: Opened, mutant: Mutant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A Holdfast that is broken on purpose, and a checker that says how."""
    fewer: dict[str, Any] = {} if mutant.source == "git" else {"tenants": TENANTS[:2]}
    with opened(mutant.source, SEED, STEPPED[mutant.source], **fewer) as trial:
        chosen = random.Random(trial.record.seed)
        erase_after = 2 * AT_A_TIME if mutant.erasure else None
        steps = Steps(trial, chosen, mutant.accidents, mutant.removals, erase_after)
        if mutant.crashes:
            steps.crashes, steps.dying_in = 0.2, "capture"
        instrument(monkeypatch, steps)
        steps.begin()
        mutant.apply(monkeypatch)
        seen: Counter[str] = Counter()
        for done in range(AT_A_TIME, MUTANT_STEPS + 1, AT_A_TIME):
            steps.go_on(AT_A_TIME)
            read_registry(trial)
            seen = kinds(check(trial.record))
            if mutant.caught_as & set(seen):
                with capsys.disabled():
                    print(f"\n{mutant.name}: caught within {done} steps as {dict(seen)}")
                return
    pytest.fail(f"{mutant.name} lives after {MUTANT_STEPS} steps of {trial.record.seed}: {dict(seen)}")
