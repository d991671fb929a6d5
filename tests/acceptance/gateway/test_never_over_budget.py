"""Never over budget: calls from several processes that are killed at every store boundary and at random.

2,000 calls on SQLite and 600 on PostgreSQL as a rule; HOLDFAST_FULL=1 makes it 100,000 and 20,000.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import func, select

from gateway_client.crash_points import CRASH_POINTS, VARIABLE
from gateway_client.errors import StoreUnavailable
from gateway_client.ledger.budgets import set_budget
from gateway_client.ledger.entries import new_id
from gateway_client.ledger.transactions import Transactions
from gateway_client.operating import Operator
from gateway_client.scopes import Span, Unit
from gateway_client.simulator.running import Simulator
from gateway_client.store import schema
from gateway_client.store.database import Database
from gateway_client.store.opening import open_database
from gateway_client.wake import presence
from tests.support.gateway_audit import past_limits, violations
from tests.support.gateway_stores import STORES, empty_store

ROOT = Path(__file__).parents[3]
FULL = os.environ.get("HOLDFAST_FULL") == "1"
CALLS = {"sqlite": 100_000 if FULL else 2_000, "postgres": 20_000 if FULL else 600}
WORKERS = 3
CALLS_OF_ONE = 3_000 if FULL else 60
# When a process is killed at random, seconds after its start: a start costs as much as a hundred calls.
RANDOM_DEATH = (5.0, 60.0) if FULL else (1.0, 6.0)
HELD_SECONDS = 10.0
PROVIDER = {
    "capacity": 40,
    "first_token": {"kind": "uniform", "seconds": 0.01, "spread": 0.01},
    "output_tokens": 12,
    "cached_share": 0.3,
    "reject": {"pattern": "hash", "share": 0.2},
    "rules": [
        {"fault": "status", "status": 500, "share": 0.04},
        {"fault": "reset", "share": 0.03},
        {"fault": "cut_stream", "share": 0.04},
        {"fault": "no_usage", "share": 0.03},
        {"fault": "empty_content", "share": 0.03},
    ],
}


@dataclass
class Murder:
    """Workers that are started, and die at the place named or at random."""

    url: str
    provider: str
    mutant: tuple[str, ...] = ()
    draw: random.Random = field(default_factory=lambda: random.Random(4))
    died_at: set[str] = field(default_factory=set)
    killed: int = 0
    seeds: Iterator[int] = field(default_factory=itertools.count)

    def start(self, place: str | None) -> tuple[str | None, subprocess.Popen[bytes], float]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        if place is not None:
            environment[VARIABLE] = f"{place}#{self.draw.randint(1, 4)}"
        seed = str(next(self.seeds))
        arguments = [self.url, self.provider, str(CALLS_OF_ONE), seed, *self.mutant]
        command = [sys.executable, "-m", "tests.support.gateway_worker", *arguments]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE)
        dies = time.monotonic() + (
            self.draw.uniform(*RANDOM_DEATH) if place is None and self.draw.random() < 0.5 else 120
        )
        return place, process, dies

    def tend(self, place: str | None, process: subprocess.Popen[bytes], dies: float) -> bool:
        """True once the process is over."""
        if process.poll() is None and time.monotonic() > dies:
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.killed += 1
        if process.poll() is None:
            return False
        assert process.stderr is not None
        with process.stderr:
            told = process.stderr.read().decode()
        if process.returncode == -signal.SIGKILL and place is not None:
            self.died_at.add(place)
        elif process.returncode not in (0, -signal.SIGKILL):
            raise AssertionError(told)
        return True


@pytest.fixture(params=STORES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def calls(kind: str) -> int:
    """How many calls the database in question gets."""
    return CALLS[kind]


@pytest.fixture
def url(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> Iterator[str]:
    with empty_store(kind, tmp_path, request) as found:
        yield found


@pytest.fixture
def store(url: str, calls: int) -> Iterator[Database]:
    database = open_database(url)
    database.write(lambda c: _budgets(c, calls))
    yield database
    database.close()


def _budgets(connection, calls: int) -> None:
    generous = 10**12
    for scope in ("tenant=*", "tenant=*,lane=*", "model=*"):
        set_budget(connection, scope, Span.DAY, Unit.MICRODOLLARS, generous)
    set_budget(connection, "pool=*", Span.MINUTE, Unit.REQUESTS, generous)
    set_budget(connection, "tenant=tight", Span.DAY, Unit.MICRODOLLARS, calls * 30)
    set_budget(connection, "tenant=tight", Span.DAY, Unit.TOKENS, calls * 8)


def made(store: Database) -> int:
    return store.read(lambda c: c.execute(select(func.count()).select_from(schema.call)).scalar_one())


def run_all(store: Database, murder: Murder, calls: int) -> None:
    """Start workers until so many calls were made and every place had its death."""
    places = list(CRASH_POINTS)
    running = [murder.start(None) for _ in range(WORKERS)]
    tries = 0
    while running:
        time.sleep(0.05)
        assert past_limits(store) == []
        over = [one for one in running if murder.tend(*one)]
        running = [one for one in running if one not in over]
        missing = [place for place in places if place not in murder.died_at]
        if made(store) < calls or (missing and tries < 6 * len(places)):
            for _ in over:
                tries += 1
                place = missing[tries % len(missing)] if missing and tries % 4 else None
                running.append(murder.start(place))


def clear_up(store: Database) -> float:
    """What any other process does: recover the dead. Returns the seconds until nothing was held."""
    books = Transactions(store)
    mine = presence(store, new_id())
    mine.appear(lambda _: None)
    began = time.monotonic()
    open_states = ("held", "waiting", "refused")
    open_count = select(func.count()).where(schema.attempt.c.state.in_(open_states))
    while time.monotonic() - began < HELD_SECONDS:
        books.recover(mine)
        if store.read(lambda c: c.execute(open_count).scalar_one()) == 0:
            break
        time.sleep(0.1)
    mine.vanish()
    return time.monotonic() - began


def bill_of(simulator: Simulator) -> list[str]:
    limit = time.monotonic() + 15
    while any(entry.ended is None for entry in simulator.log) and time.monotonic() < limit:
        time.sleep(0.05)
    return [json.dumps(line) for line in simulator.provider.log.bill()]


@pytest.mark.timeout(7200 if FULL else 900)
def test_never_over_budget(store: Database, url: str, calls: int) -> None:
    with Simulator(**PROVIDER) as simulator:
        murder = Murder(url, simulator.url)
        run_all(store, murder, calls)
        seconds = clear_up(store)
        lines = bill_of(simulator)
    wrong = violations(store, lines)
    states = store.read(
        lambda c: dict(
            tuple(row)
            for row in c.execute(
                select(schema.attempt.c.state, func.count()).group_by(schema.attempt.c.state)
            )
        )
    )
    print(
        f"{made(store)} calls, {len(simulator.log)} requests, {len(murder.died_at)} of {len(CRASH_POINTS)} places, "
        f"{murder.killed} killed at random, attempts {states}, nothing held after {seconds:.1f} s"
    )
    assert wrong == []
    assert seconds < HELD_SECONDS
    assert set(CRASH_POINTS) - murder.died_at == set()
    assert states.get("settled", 0) > calls / 4
    assert states.get("unknown", 0) > 20
    done = Operator(store).reconcile(lines, complete_until=time.time() + 1)
    assert (done.difference, done.differing, done.unmatched) == (0, [], [])
    assert violations(store, lines) == []
    assert "unknown" not in {
        row.state for row in store.read(lambda c: list(c.execute(select(schema.attempt.c.state))))
    }


@pytest.mark.parametrize("mutant", [(), ("skip-hold",), ("settle-twice",)], ids=str)
def test_a_broken_ledger_is_caught_and_a_sound_one_is_not(
    store: Database, url: str, mutant: tuple[str, ...]
) -> None:
    # Room for a few calls at once: who does not hold before it sends goes past it.
    store.write(lambda c: set_budget(c, "pool=*", Span.DAY, Unit.MICRODOLLARS, 1500))
    with Simulator(**PROVIDER) as simulator:
        murder = Murder(url, simulator.url, mutant)
        _, process, _ = murder.start(None)
        process.communicate(timeout=120)
        stuck = ""
        try:
            clear_up(store)
        except StoreUnavailable as refused:
            stuck = str(refused)
        found = violations(store, bill_of(simulator))
    assert (found != [] or "constraint" in stuck) is bool(mutant)
