"""A call under way: who calls, what is asked, what was learned so far; and its row, which is ended once."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from gateway_client.errors import ClientClosed, DeadlineExceeded, GatewayError, StoreUnavailable
from gateway_client.exchange.terms import Emit, Exchange, Request
from gateway_client.lanes import Lane
from gateway_client.last_failure import LastFailure, kind_of
from gateway_client.ledger.entries import CallRow, Effect, Ending, Settlement
from gateway_client.ledger.ledger import Ledger
from gateway_client.messages import ChatRequest
from gateway_client.model import ModelSpec
from gateway_client.providers.provider import provider_of
from gateway_client.records import Answered, AnyReply, Record
from gateway_client.settings import GatewaySettings
from gateway_client.stored_replies import packed

Task = asyncio.Task[Exchange]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what for."""

    tenant: str
    lane: Lane
    feature: str
    run: str
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Means:
    """What every call of a client shares."""

    ledger: Ledger
    http: httpx.AsyncClient
    settings: GatewaySettings
    spawn: Callable[[Coroutine[Any, Any, Exchange]], Task]
    drain: Callable[[Task], None]
    random: random.Random


@dataclass(frozen=True, slots=True)
class Settled:
    """How an attempt was settled. Saying it again changes nothing."""

    pool: str
    attempt: str
    settlement: Settlement


@dataclass(slots=True)
class Call:
    """A call under way. `models` is who may answer, in order; `until` the loop's time at which it must be over.

    `claimed`: its row is there, for its key. `begun`: it is being run, and ends its row itself. `sending` is the
    task of what was sent last, `settled` how it was settled, `last` what went wrong last.
    """

    means: Means
    caller: Caller
    row: CallRow
    request: Request
    models: Sequence[ModelSpec]
    until: float
    record: Record
    emit: Emit | None = None
    buffered: bool = False
    claimed: bool = False
    expires: Callable[[], float] = lambda: 0.0
    number: int = 0
    begun: bool = False
    emitted: bool = False
    left_by_caller: bool = False
    answered_by: str = ""
    sending: Task | None = None
    settled: Settled | None = None
    last: LastFailure | None = None
    _began: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    _made: tuple[str, Request, httpx.Request] | None = None

    def left(self) -> float:
        """Seconds until it must be over."""
        return self.until - asyncio.get_running_loop().time()

    def too_late(self) -> DeadlineExceeded:
        """The error of a call that took all of its time."""
        spent = asyncio.get_running_loop().time() - self._began
        return DeadlineExceeded(
            f"the call of {self.caller.tenant} took {spent:.1f} s, all of its time, in {self.number} attempts: "
            "what was sent is charged at its maximum until a bill corrects it"
        )

    def made(self, model: ModelSpec) -> httpx.Request:
        """The request in a model's wire format, made once. Raises GatewayError for what the model cannot do."""
        if self._made is not None and self._made[0] == model.name and self._made[1] is self.request:
            return self._made[2]
        provider, key = provider_of(model), model.key()
        if isinstance(self.request, ChatRequest):
            built = provider.build(self.request, model, key, stream=self.emit is not None)
        else:
            built = provider.build_embedding(self.request, model, key)
        self._made = model.name, self.request, built
        return built

    def failed(self, error: GatewayError, model: str) -> None:
        """An attempt failed."""
        self.last = LastFailure(error, model)
        self.record.last_failure = str(self.last)

    def answered(self, reply: AnyReply) -> Answered:
        """The reply with what it took."""
        return Answered(reply, self.answered_by, self.row.id, self.record)

    def done(self, model: str, reply: AnyReply) -> Ending:
        """The end of a call that a model has answered."""
        self.answered_by = model
        stored = packed(reply) if self.row.key is not None else None
        return self._ending("done", "ok", reply.model_reported or "", stored)

    def _ending(self, state: str, outcome: str, reported: str = "", reply: bytes | None = None) -> Ending:
        self.record.seconds = round(asyncio.get_running_loop().time() - self._began, 6)
        return Ending(
            call=self.row.id,
            state=state,
            outcome=outcome,
            answered_by=self.answered_by,
            reported=reported,
            reply=reply,
            expires=self.expires() if reply is not None else None,
            record=self.record.to_json(),
            begins=None if self.claimed else self.row,
            worker=self.row.worker,
        )

    async def fail(self, error: GatewayError) -> None:
        """End its row by an error, together with its last attempt; later, where the store is not there."""
        ending, ledger, last = self._ending("failed", kind_of(error)), self.means.ledger, self.settled
        with contextlib.suppress(ClientClosed):  # whoever signs off ends every row
            try:
                if last is None:
                    await ledger.finished(ending)
                else:
                    await ledger.settled(last.pool, last.attempt, last.settlement, ending)
            except StoreUnavailable:
                last = last or self._no_attempt()
                ledger.settle_later(last.pool, last.attempt, last.settlement, ending)

    def _no_attempt(self) -> Settled:
        """What settles nothing, so that a call's end alone is written: the call's id is no attempt's."""
        return Settled(self.models[0].pool, self.row.id, Settlement("released", Effect("nothing")))

    def fail_later(self, outcome: str) -> None:
        """End its row when what is still on its way has come to its end, unless that answers it."""
        if self.sending is None or self.sending.done():
            self._fail_now(outcome)
        else:
            self.sending.add_done_callback(lambda _: self._fail_now(outcome))

    def _fail_now(self, outcome: str) -> None:
        if self.answered_by:
            return
        ending, last = self._ending("failed", outcome), self.settled or self._no_attempt()
        with contextlib.suppress(ClientClosed):
            self.means.ledger.settle_surely(last.pool, last.attempt, last.settlement, ending)
