"""Every way for a call to end leaves a row that says how it ended, with its attempts and its sends."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway_client.client import GatewayClient
from gateway_client.errors import GatewayError
from gateway_client.operating import Operator
from gateway_client.scopes import Span, Unit
from gateway_client.settings import GatewaySettings
from gateway_client.simulator.running import Simulator
from gateway_client.store import schema
from gateway_client.store.opening import open_database
from tests.support.gateway_audit import rows, violations

ROOT = Path(__file__).parents[3]
MODELS = ROOT / "gateway_client/simulator/models.toml"
HELD_BY = "globex"


@pytest.fixture(scope="module")
def running() -> Iterator[Simulator]:
    with Simulator(output_tokens=5) as found:
        yield found


@pytest.fixture
def simulator(running: Simulator) -> Simulator:
    running.reset()
    return running


@dataclass
class Scene:
    """A client that is open, and whoever can get in its way."""

    llm: GatewayClient
    operator: Operator
    more: dict[str, Any]

    def asked(self, fault: str = "none", **more: Any) -> dict[str, Any]:
        given: dict[str, Any] = {"tenant": "acme", "model": "sim-alone", "max_tokens": 40, "deadline": 8.0}
        messages = [{"role": "user", "content": f"hello [[simulate:{fault}]]"}]
        return {**given, "messages": messages, **self.more, **more}

    async def chat(self, fault: str = "none", **more: Any) -> None:
        await self.llm.chat(**self.asked(fault, **more))

    async def left(self, seconds: float, fault: str, **more: Any) -> None:
        """A caller who leaves after so long."""
        await asyncio.wait_for(self.chat(fault, **more), seconds)

    async def behind(self, work: Awaitable[None]) -> None:
        """Do it while somebody else holds the only slot."""
        self.operator.set_pool("first", {"max_window": 1, "headroom": 0, "batch_minimum": 0})
        asked = self.asked("slow_first_token; seconds=0.5", tenant=HELD_BY) | {"idempotency_key": None}
        holder = asyncio.create_task(self.llm.chat(**asked))
        await asyncio.sleep(0.1)
        try:
            await work
        finally:
            await holder

    async def paused(self) -> None:
        asked = asyncio.create_task(self.chat("rate_limited; retry_after=0.6"))
        await asyncio.sleep(0.3)
        self.operator.pause("tenant", "acme", "incident")
        await asked

    async def broken(self, fault: str = "status; status=500", **more: Any) -> None:
        """With the breaker of the model open."""
        asked = self.asked(fault, tenant=HELD_BY) | {"idempotency_key": None}
        await asyncio.gather(*(self.llm.chat(**asked) for _ in range(8)), return_exceptions=True)
        await self.chat(**more)

    async def failing(self) -> None:
        """Failures enough to open the breaker, of this call itself."""
        once = {
            "max_cost": 700,
            "idempotency_key": None,
        }  # what is charged as unknown leaves no room for a second
        asked = self.asked("status; status=500", tenant=HELD_BY) | once
        await asyncio.gather(*(self.llm.chat(**asked) for _ in range(7)), return_exceptions=True)
        await self.chat("status; status=500")

    async def stream_closed_at_once(self) -> None:
        stream = await self.llm.stream(**self.asked())
        await stream.close()

    async def stream_left(self) -> None:
        async with await self.llm.stream(**self.asked("stall; after=2; seconds=0.2")) as stream:
            async for _ in stream:
                break

    async def stream_cut(self) -> None:
        async for _ in await self.llm.stream(**self.asked("cut_stream; after=2")):
            pass

    async def cancelled_at_once(self) -> None:
        task = asyncio.create_task(self.chat())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await task

    async def signed_off(self) -> None:
        asked = asyncio.create_task(self.chat(deadline=1.5))
        await asyncio.sleep(0.2)
        await self.llm.close()
        await asked

    async def embed(self) -> None:
        asked = self.asked(model="sim-embed") | {"texts": ["a", "b"]}
        await self.llm.embed(**{k: v for k, v in asked.items() if k not in ("messages", "max_tokens")})


@dataclass(frozen=True)
class Case:
    """What is done, and the row that it must leave: state, outcome, attempts, sends (None: as many as arrived),
    the last failure, and the states of the attempts that were sent or held something."""

    work: Callable[[Scene], Awaitable[None]]
    state: str
    outcome: str
    attempts: int | None
    sends: int | None
    left: tuple[str, ...] | None = ()
    last: str = ""


TOO_LATE, ALONE = "DeadlineExceeded", "of 'sim-alone'"
REJECTED = "rate_limited; retry_after=0.3"
CASES = {
    "answered": Case(lambda s: s.chat(), "done", "ok", 1, 1, ("settled",)),
    "embedded": Case(lambda s: s.embed(), "done", "ok", 1, 1, ("settled",)),
    "out of time before anything": Case(lambda s: s.chat(deadline=0.0), "failed", TOO_LATE, 0, 0),
    "out of time in the queue": Case(
        lambda s: s.behind(s.chat(deadline=0.2)), "failed", TOO_LATE, 1, 0
    ),
    "out of time, batch": Case(
        lambda s: s.behind(s.chat(deadline=0.2, lane="batch")), "failed", TOO_LATE, 1, 0
    ),
    "out of time while it was rejected": Case(
        lambda s: s.chat(REJECTED, deadline=0.45), "failed", TOO_LATE, 1, None, ("released",),
        f"rate_limited (429) {ALONE}",
    ),
    "out of time while the gate was shut": Case(
        lambda s: s.chat("rate_limited; retry_after=5", deadline=0.5), "failed", TOO_LATE, 1, 1, ("released",),
        f"rate_limited (429) {ALONE}",
    ),
    "rejected once, then answered": Case(
        lambda s: s.chat(f"{REJECTED}; attempts=1"), "done", "ok", 1, 2, ("settled",), f"rate_limited (429) {ALONE}"
    ),
    "out of time in silence": Case(
        lambda s: s.chat("silence", deadline=0.4), "unknown", TOO_LATE, 1, 1, ("unknown",), f"Silent {ALONE}"
    ),
    "left before its admission": Case(lambda s: s.cancelled_at_once(), "failed", "cancelled", None, 0, None),
    "left in the queue": Case(lambda s: s.behind(s.left(0.2, "none")), "failed", "cancelled", 1, 0),
    "left while it was answered": Case(
        lambda s: s.left(0.15, "slow_first_token; seconds=0.4"), "done", "ok", 1, 1, ("settled",)
    ),
    "left in silence": Case(lambda s: s.left(0.15, "silence"), "unknown", "cancelled", 1, 1, ("unknown",)),
    "left while it was rejected": Case(
        lambda s: s.left(0.4, "rate_limited; retry_after=5"), "failed", "cancelled", 1, 1, ("released",),
        f"rate_limited (429) {ALONE}",
    ),
    "refused after it was rejected": Case(
        lambda s: s.paused(), "failed", "Paused", 1, 1, ("released",), f"rate_limited (429) {ALONE}"
    ),
    "refused by a cap": Case(lambda s: s.chat(max_cost=1), "failed", "CostCapExceeded", 1, 0),
    "refused by an open breaker": Case(lambda s: s.broken(), "failed", "BreakerOpen", 1, 0),
    "batch behind an open breaker": Case(
        lambda s: s.broken(lane="batch", deadline=0.4), "failed", TOO_LATE, 1, 0
    ),
    "refused by the breaker that it opened": Case(
        lambda s: s.failing(), "unknown", "BreakerOpen", 2, 1, ("unknown",), f"server_error (500) {ALONE}"
    ),
    "refused by the provider": Case(
        lambda s: s.chat("bad_request"), "failed", "bad_request", 1, 1, ("released",), f"bad_request (400) {ALONE}"
    ),
    "no answer": Case(lambda s: s.chat("length"), "unknown", "length", 1, 1, ("settled",), f"length {ALONE}"),
    "a stream that was closed at once": Case(
        lambda s: s.stream_closed_at_once(), "failed", "cancelled", 0, 0
    ),
    "a stream that was left": Case(lambda s: s.stream_left(), "done", "ok", 1, 1, ("settled",)),
    "a stream that was cut": Case(
        lambda s: s.stream_cut(), "unknown", "reset", 1, 1, ("unknown",), f"reset {ALONE}"
    ),
    "signed off while it waited": Case(
        lambda s: s.behind(s.signed_off()), "failed", "ClientClosed", 1, 0, None
    ),
}  # fmt: skip


def settings_of(folder: Path) -> GatewaySettings:
    return GatewaySettings(
        url=f"sqlite:///{folder / 'gateway.sqlite3'}",
        drain_seconds=0.6,
        stall_seconds=1,
        first_token_seconds=2,
    )


def play(case: Case, settings: GatewaySettings, simulator: Simulator, more: dict[str, Any]) -> None:
    async def main() -> None:
        async with GatewayClient(settings, simulator.catalogue, seed=1) as llm:
            operator = Operator(open_database(settings.store))
            try:
                await case.work(Scene(llm, operator, more))
            except (GatewayError, TimeoutError, asyncio.CancelledError):
                pass
            finally:
                operator.close()

    asyncio.run(main())


# With a budget what was rejected keeps its hold while it waits; without one it holds nothing. A call with a key has its
# row before it is admitted.
KEYED = (
    "answered", "out of time before anything", "out of time in the queue", "out of time while it was rejected",
    "left while it was answered", "left in silence", "refused by an open breaker",
    "no answer", "a stream that was closed at once", "signed off while it waited",
)  # fmt: skip
WAYS = [
    *((name, "keyless") for name in CASES),
    *((name, "keyed") for name in KEYED),
    *((name, "budget") for name in CASES if "reject" in name),
]


@pytest.mark.parametrize(("name", "way"), WAYS, ids=["-".join(pair).replace(" ", "_") for pair in WAYS])
def test_every_ending_has_its_row(simulator: Simulator, tmp_path: Path, name: str, way: str) -> None:
    case, settings = CASES[name], settings_of(tmp_path)
    database = open_database(settings.store)
    if way == "budget":
        Operator(database).set_budget("tenant=acme", Span.DAY, Unit.MICRODOLLARS, 1_000_000)
    play(
        case, settings, simulator, {"idempotency_key": "k" if way == "keyed" else None, "request_id": "ours"}
    )
    (call,) = (row for row in Operator(database).calls() if row["tenant"] == "acme")
    own = [row for row in rows(database, schema.attempt) if row.call == call["id"]]
    arrived = sum(entry.request_id == "ours" for entry in simulator.log) if case.sends is None else case.sends
    assert (call["state"], call["outcome"]) == (case.state, case.outcome)
    assert call["ended"] is not None
    record = call["record"]
    assert record["sends"] == arrived
    assert case.attempts is None or record["attempts"] == case.attempts
    assert case.left is None or tuple(row.state for row in own) == case.left
    assert sum(row.sends for row in own) >= arrived, "it counts grants"
    assert call["cost_micro"] == sum(row.cost_micro for row in own)
    assert record["last_failure"] == case.last
    assert (
        violations(
            database, [json.dumps(entry.bill_line()) for entry in simulator.log if entry.micro_dollars]
        )
        == []
    )
    database.close()


# -- killed

VICTIM = """
import asyncio, sys
from gateway_client.catalogue import Catalogue
from gateway_client.client import GatewayClient
from gateway_client.settings import GatewaySettings
async def main():
    catalogue = Catalogue.load(sys.argv[3]).pointed_at(sys.argv[2])
    async with GatewayClient(GatewaySettings(url=sys.argv[1]), catalogue) as llm:
        await llm.chat(tenant="acme", model="sim-alone", max_tokens=40, deadline=20, request_id="ours",
                       idempotency_key=sys.argv[5] or None,
                       messages=[{"role": "user", "content": f"hello [[simulate:{sys.argv[4]}]]"}])
asyncio.run(main())
"""
# Where it is killed, under which fault -> its row (None: there is none), and its attempts.
KILLED: dict[tuple[str, str], tuple[tuple[str, str, int, int] | None, tuple[str, ...]]] = {
    ("gateway.admit.before", "none"): (None, ()),
    ("gateway.admit.after", "none"): (("unknown", "worker died", 1, 1), ("unknown",)),
    ("gateway.settle.after", "none"): (("done", "ok", 1, 1), ("settled",)),
    ("gateway.requeue.after#2", "rate_limited; retry_after=0.05"): (
        ("failed", "worker died", 1, 2), ("released",)
    ),
}  # fmt: skip


@pytest.mark.parametrize("place", KILLED, ids=lambda place: place[0])
def test_a_process_that_is_killed_leaves_calls_that_ended(
    simulator: Simulator, tmp_path: Path, place: tuple[str, str]
) -> None:
    settings, (row, left) = settings_of(tmp_path), KILLED[place]
    where, fault = place
    command = [sys.executable, "-c", VICTIM, settings.store, simulator.url, str(MODELS), fault, ""]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"HOLDFAST_CRASH_AT": where}, capture_output=True, timeout=60
    )
    assert done.returncode == -9, done.stderr
    database = open_database(settings.store)

    async def recovered() -> None:
        async with GatewayClient(settings, simulator.catalogue):
            pass

    asyncio.run(recovered())
    calls = Operator(database).calls()
    told = [(c["state"], c["outcome"], c["record"]["attempts"], c["record"]["sends"]) for c in calls]
    assert told == ([] if row is None else [row])
    attempts = rows(database, schema.attempt)
    assert tuple(a.state for a in attempts) == left
    assert [c["cost_micro"] for c in calls] == [sum(a.cost_micro for a in attempts)] * len(calls)
    database.close()
