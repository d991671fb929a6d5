"""Every way for a call to end leaves a row that says how it ended, with its attempts and its sends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from gateway_client.client import GatewayClient
from gateway_client.errors import GatewayError
from gateway_client.operating import Operator
from gateway_client.scopes import Span, Unit
from gateway_client.settings import GatewaySettings
from gateway_client.simulator.running import Simulator
from gateway_client.store import schema
from tests.support.gateway_audit import rows_at
from tests.support.gateway_calls import hello, run, run_audited
from tests.support.gateway_moments import arrived, left, waiting
from tests.support.gateway_one_call import caller

HELD_BY = "globex"


@pytest.fixture
def settings(settings: GatewaySettings) -> GatewaySettings:
    """Times at which a call may be left, cut short or drained, and none of them confused with another."""
    return settings.model_copy(
        update={"drain_seconds": 0.6, "stall_seconds": 1.0, "first_token_seconds": 2.0}
    )


@dataclass
class Scene:
    """A client that is open, and whoever can get in its way."""

    llm: GatewayClient
    operator: Operator
    simulator: Simulator
    more: dict[str, Any]

    async def arrived(self) -> None:
        await arrived(self.simulator)

    async def waiting(self, sends: int) -> None:
        await waiting(self.operator, sends=sends)

    def asked(self, fault: str = "none", **more: Any) -> dict[str, Any]:
        return {**hello(fault, deadline=8.0), **self.more, **more}

    async def chat(self, fault: str = "none", **more: Any) -> None:
        await self.llm.chat(**self.asked(fault, **more))

    async def left(self, when: Awaitable[None], fault: str = "none") -> None:
        await left(self.chat(fault), when)

    async def behind(self, work: Awaitable[None]) -> None:
        """Do it while somebody else holds the only slot."""
        self.operator.set_pool("first", {"max_window": 1, "headroom": 0, "batch_minimum": 0})
        asked = self.asked("silence", tenant=HELD_BY) | {"idempotency_key": None}
        holder = asyncio.create_task(self.llm.chat(**asked))
        await self.arrived()
        try:
            await work
        finally:
            holder.cancel()

    async def paused(self) -> None:
        asked = asyncio.create_task(self.chat("rate_limited; retry_after=1"))
        await self.waiting(sends=1)
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
        asked = asyncio.create_task(self.chat())
        await self.waiting(sends=0)
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
REJECTED = "rate_limited; retry_after=0.6"
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
        lambda s: s.chat(REJECTED, deadline=1.0), "failed", TOO_LATE, 1, None, ("released",),
        f"rate_limited (429) {ALONE}",
    ),
    "out of time while the gate was shut": Case(
        lambda s: s.chat("rate_limited; retry_after=5", deadline=1.0), "failed", TOO_LATE, 1, 1, ("released",),
        f"rate_limited (429) {ALONE}",
    ),
    "rejected once, then answered": Case(
        lambda s: s.chat(f"{REJECTED}; attempts=1"), "done", "ok", 1, 2, ("settled",), f"rate_limited (429) {ALONE}"
    ),
    "out of time in silence": Case(
        lambda s: s.chat("silence", deadline=1.0), "unknown", TOO_LATE, 1, 1, ("unknown",), f"Silent {ALONE}"
    ),
    "left before its admission": Case(lambda s: s.cancelled_at_once(), "failed", "cancelled", None, 0, None),
    "left in the queue": Case(lambda s: s.behind(s.left(s.waiting(sends=0))), "failed", "cancelled", 1, 0),
    "left while it was answered": Case(
        lambda s: s.left(s.arrived(), "slow_first_token; seconds=0.2"), "done", "ok", 1, 1, ("settled",)
    ),
    "left in silence": Case(lambda s: s.left(s.arrived(), "silence"), "unknown", "cancelled", 1, 1, ("unknown",)),
    "left while it was rejected": Case(
        lambda s: s.left(s.waiting(sends=1), "rate_limited; retry_after=5"), "failed", "cancelled", 1, 1, ("released",),
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
def test_every_ending_has_its_row(
    settings: GatewaySettings, simulator: Simulator, operator: Operator, name: str, way: str
) -> None:
    case = CASES[name]
    if way == "budget":
        operator.set_budget("tenant=acme", Span.DAY, Unit.MICRODOLLARS, 1_000_000)
    more = {"idempotency_key": "k" if way == "keyed" else None, "request_id": "ours"}

    async def play(llm: GatewayClient) -> None:
        with contextlib.suppress(GatewayError, TimeoutError, asyncio.CancelledError):
            await case.work(Scene(llm, operator, simulator, more))

    run_audited(settings, simulator, play)
    (call,) = (row for row in operator.calls() if row["tenant"] == "acme")
    own = [row for row in rows_at(settings.store, schema.attempt) if row.call == call["id"]]
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


# -- killed

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
    settings: GatewaySettings, simulator: Simulator, operator: Operator, place: tuple[str, str]
) -> None:
    row, left = KILLED[place]
    where, fault = place
    with caller(settings.store, simulator.url, fault, 20.0, HOLDFAST_CRASH_AT=where) as victim:
        _, told = victim.communicate(timeout=60)
    assert victim.returncode == -9, told
    run(settings, simulator.catalogue, lambda llm: asyncio.sleep(0))  # whoever comes recovers the dead
    calls = operator.calls()
    ends = [(c["state"], c["outcome"], c["record"]["attempts"], c["record"]["sends"]) for c in calls]
    assert ends == ([] if row is None else [row])
    attempts = rows_at(settings.store, schema.attempt)
    assert tuple(a.state for a in attempts) == left
    assert [c["cost_micro"] for c in calls] == [sum(a.cost_micro for a in attempts)] * len(calls)
