"""One call: the one retry loop. Admit, send, judge, settle; then again, elsewhere, or done.

What it waits for can be cancelled at any moment. What was sent cannot be taken back: it ends in a task of its own,
which settles it, whoever still waits.
"""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from gateway_client.errors import (
    BreakerOpen,
    CallFailed,
    DeadlineExceeded,
    GatewayError,
    StoreUnavailable,
    UnusableOutcome,
)
from gateway_client.exchange import AnyReply, Emit, Exchange, Limits, Request, Wire
from gateway_client.lanes import Lane
from gateway_client.ledger.entries import Answer, Ask, CallRow, Effect, Ending, Settlement, new_id
from gateway_client.ledger.ledger import Ledger, Wish
from gateway_client.messages import ChatRequest, Reply
from gateway_client.model import ModelSpec
from gateway_client.outcomes import Outcome, judge
from gateway_client.pools import retries
from gateway_client.providers.provider import provider_of
from gateway_client.records import Record
from gateway_client.refusals import error_of
from gateway_client.settings import GatewaySettings
from gateway_client.tokens import estimate

Task = asyncio.Task[Exchange]
# Where a fallback stands by, the model asked first does not get all of the time that is left.
SHARE_BEFORE_FALLBACK = 0.6


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


@dataclass(slots=True)
class Call:
    """A call under way. `models` is who may answer, in order; `until` the loop's time at which it must be over."""

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
    failures: int = 0
    corrected: bool = False
    emitted: bool = False
    answered_by: str = ""
    _began: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    _last: Task | None = None
    _left_by_caller: bool = False
    _made: tuple[str, Request, httpx.Request] | None = None

    async def run(self) -> AnyReply:
        """The answer. Raises GatewayError; cancelled, it leaves nothing held that was not sent."""
        try:
            return await self._candidates()
        except asyncio.CancelledError:
            self._end_later("cancelled")
            raise
        except GatewayError as error:
            await self._end_failed(error)
            raise
        except BaseException:
            self._end_later("internal_error")
            raise

    async def _candidates(self) -> AnyReply:
        """Along the models, and around again as long as there is time and a retry token."""
        models, position = list(self.models), 0
        while True:
            model = models[position]
            try:
                exchange = await self._attempt(model, len(models) > 1)
            except BreakerOpen:
                if position + 1 >= len(models):
                    raise
                position += 1
                continue
            if exchange.error is None:
                return self._reply_of(exchange)
            again = self._corrected(exchange)
            if again is not None:
                self.request = again
                continue
            if self.emitted or not (exchange.transient or exchange.elsewhere):
                raise exchange.error
            position = await self._next(models, position, exchange)

    def _reply_of(self, exchange: Exchange) -> AnyReply:
        assert exchange.reply is not None
        return exchange.reply

    def _corrected(self, exchange: Exchange) -> Request | None:
        """The request to send once more after an answer that was none; None where that cannot help."""
        error = exchange.error
        if not isinstance(error, UnusableOutcome) or self.corrected or self.emitted:
            return None
        if not isinstance(self.request, ChatRequest) or error.reply is None:
            return None
        outcome = judge(error.reply, self.request)
        if outcome.correction is None and not outcome.again:
            return None
        self.corrected = True
        if outcome.correction is None:
            return self.request
        return self.request.with_correction(error.reply.text, outcome.correction)

    async def _next(self, models: list[ModelSpec], position: int, exchange: Exchange) -> int:
        """Where to go on after a failure: the next model at once, or around again for a retry token."""
        assert exchange.error is not None
        failed = models[position]
        if exchange.elsewhere:
            models.pop(position)
            position -= 1
        if position + 1 < len(models):
            return position + 1
        if not models:
            raise exchange.error
        self.failures += 1
        await self._may_retry(failed.pool if failed in models else models[0].pool, exchange.error)
        return 0

    async def _may_retry(self, pool: str, error: GatewayError) -> None:
        """Wait, with full jitter, for as long as a retry needs; raise the error where there is none to be had."""
        while True:
            wait = retries.jitter(self.failures, self.means.random)
            if wait >= self._left():
                raise error
            await asyncio.sleep(wait)
            if await self.means.ledger.spend_retry(pool):
                return
            if self.caller.lane != Lane.BATCH:
                raise error
            self.failures += 1

    async def _attempt(self, model: ModelSpec, has_fallback: bool) -> Exchange:
        """One attempt of the ledger, with as many sendings as rejections for capacity make of it."""
        if self._left() <= 0:
            raise self._too_late()
        ask = self._ask(model)
        built = self._built(model, ask)
        self._queued()
        answer = await self.means.ledger.admit(ask)
        rejections = 0
        while True:
            self._check(answer)
            exchange = await self._dispatch(model, ask, built, has_fallback)
            if not exchange.rejected:
                return exchange
            rejections += 1
            self.record.rejections += 1
            answer = await self._again(ask, exchange, rejections, answer.sends)

    def _check(self, answer: Answer) -> None:
        if answer.refusal is not None:
            raise error_of(answer.refusal)
        self.record.queue_wait += asyncio.get_running_loop().time() - self._began_waiting

    _began_waiting: float = 0.0

    def _queued(self) -> None:
        self._began_waiting = asyncio.get_running_loop().time()

    async def _again(self, ask: Ask, exchange: Exchange, rejections: int, sends: int) -> Answer:
        """Back into the queue, with the hold kept. Where the provider names no time, a jittered one is taken."""
        effect = exchange.settlement.effect
        backoff = retries.jitter(rejections, self.means.random, 4.0) if effect.retry_after is None else 0.0
        self._queued()
        patience = self._left()
        if patience <= 0:
            self.means.ledger.settle(ask.pool, ask.id, exchange.settlement)
            raise self._too_late()
        wish = Wish(ask.pool, ask.id, patience, sends + 1)
        return await self.means.ledger.requeue(wish, effect, backoff=backoff)

    def _ask(self, model: ModelSpec) -> Ask:
        self.number += 1
        output = self.request.max_tokens if isinstance(self.request, ChatRequest) else 0
        prompt = estimate(self.request, model)
        begins = self.row if self.number == 1 and not self.claimed else None
        self.record.attempts = self.number
        self.record.models.append(model.name)
        return Ask(
            id=new_id(),
            call=self.row.id,
            number=self.number,
            worker=self.means.ledger.worker,
            pool=model.pool,
            lane=self.caller.lane.value,
            tenant=self.caller.tenant,
            feature=self.caller.feature,
            run=self.caller.run,
            provider=model.provider,
            model=model.name,
            input_tokens=prompt,
            max_output=output,
            microdollars=model.most(prompt, output),
            patience=self._left(),
            most=self.caller.most,
            begins=begins,
        )

    def _built(self, model: ModelSpec, ask: Ask) -> httpx.Request:
        """The HTTP request. It carries our ids, so that a bill can be matched with the ledger."""
        built = self.made(model)
        built.headers["x-request-id"] = self.record.request_id
        built.headers["x-client-request-id"] = ask.id
        built.headers["x-attempt"] = ask.id
        return built

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

    async def _dispatch(
        self, model: ModelSpec, ask: Ask, built: httpx.Request, has_fallback: bool
    ) -> Exchange:
        """Send what was granted, in a task that our caller cannot cancel."""
        self.record.sends += 1
        limits = self._limits(has_fallback)
        gate = functools.partial(self._gate_opened, ask.pool)
        wire = Wire(self.means.http, model, self.request, built, limits, self._emitting(), gate, self.until)
        task = self._last = self.means.spawn(self._send(wire, ask))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self.emit, self._left_by_caller = None, True
            self.means.drain(task)
            task.add_done_callback(lambda done: self._release_rejected(done, ask))
            raise

    def _emitting(self) -> Emit | None:
        return None if self.emit is None else self._pass_on

    def _pass_on(self, event: Any) -> None:  # noqa: ANN401 - a StreamEvent
        if self.emit is not None:
            self.emitted = self.emitted or not self.buffered
            self.emit(event)

    def _release_rejected(self, done: Task, ask: Ask) -> None:
        if not done.cancelled() and done.exception() is None and done.result().rejected:
            self.means.ledger.settle(ask.pool, ask.id, done.result().settlement)

    async def _send(self, wire: Wire, ask: Ask) -> Exchange:
        """Send, judge, settle. Cancelled (the loop ends, or a drain took too long), it is charged as unknown."""
        sent = False
        try:
            await self._gate_opened(ask.pool)
            sent = True
            exchange = self._judged(await wire.run(), wire.model)
            self._shut(ask.pool, exchange)
        except BaseException:
            lost = Settlement(
                "unknown" if sent and not wire.at_gate else "released", Effect("not_sent"), "abandoned"
            )
            self.means.ledger.settle(ask.pool, ask.id, lost)
            raise
        if exchange.rejected:
            return exchange
        await self._settle(ask, exchange)
        return self._timely(exchange)

    async def _gate_opened(self, pool: str) -> float:
        """Wait for a gate that was shut after the grant; returns the seconds. Nothing is sent that nobody wants."""
        waited = await self.means.ledger.gates.opened(pool)
        if self._left_by_caller:
            raise asyncio.CancelledError
        return waited

    def _shut(self, pool: str, exchange: Exchange) -> None:
        """Shut the gate at once, for everybody; the ledger writes it down."""
        wait = exchange.settlement.effect.retry_after
        if exchange.rejected and wait is not None:
            self.means.ledger.shut(pool, wait)

    def _timely(self, exchange: Exchange) -> Exchange:
        """A silence that lasted until the whole call's time was up is that."""
        if exchange.error is not None and exchange.transient and self._left() <= 0:
            return replace(exchange, error=self._too_late(), transient=False)
        return exchange

    def _judged(self, exchange: Exchange, model: ModelSpec) -> Exchange:
        reply = exchange.reply
        self.record.first_token = exchange.first_token
        if (
            exchange.error is not None
            or not isinstance(reply, Reply)
            or not isinstance(self.request, ChatRequest)
        ):
            return exchange
        outcome = judge(reply, self.request)
        if outcome.ok:
            return replace(exchange, reply=outcome.reply)
        settlement = exchange.settlement
        named = replace(
            settlement, outcome=outcome.name.value if settlement.state == "settled" else settlement.outcome
        )
        return replace(exchange, settlement=named, error=_unusable(outcome, model))

    async def _settle(self, ask: Ask, exchange: Exchange) -> None:
        settlement = exchange.settlement
        if settlement.state == "settled" and settlement.usage is not None:
            self.record.count(settlement.usage, settlement.cost)
        elif settlement.state == "unknown":
            self.record.cost += ask.microdollars
        ending = None
        if exchange.error is None:
            self.answered_by = ask.model
            ending = self._ending("done", "ok", exchange.reply)
        ledger = self.means.ledger
        if self.row.key is None:
            # Nobody has to wait for it: until it is written, the hold stands for it.
            ledger.settle_surely(ask.pool, ask.id, settlement, ending)
            return
        try:
            await ledger.settled(ask.pool, ask.id, settlement, ending)
        except StoreUnavailable:
            # The provider has answered: the answer counts, and the ledger is told as soon as it can be.
            ledger.settle_later(ask.pool, ask.id, settlement, ending)

    def _ending(self, state: str, outcome: str, reply: AnyReply | None = None) -> Ending:
        self.record.seconds = round(asyncio.get_running_loop().time() - self._began, 6)
        stored = reply.to_json().encode() if isinstance(reply, Reply) and self.row.key else None
        return Ending(
            call=self.row.id,
            state=state,
            outcome=outcome,
            answered_by=self.answered_by,
            reported=(reply.model_reported or "") if reply is not None else "",
            reply=stored,
            expires=self.expires() if stored is not None else None,
            record=self.record.to_json(),
        )

    async def _end_failed(self, error: GatewayError) -> None:
        if self.number or self.claimed:
            outcome = getattr(error, "outcome", "") or getattr(error, "kind", "") or type(error).__name__
            ending = self._ending("failed", outcome)
            try:
                await self.means.ledger.finished(ending)
            except StoreUnavailable:
                return

    def _end_later(self, outcome: str) -> None:
        """After whatever is still on its way; what that ends itself stays ended."""
        if not (self.number or self.claimed):
            return
        if self._last is None or self._last.done():
            self.means.ledger.finish(self._ending("failed", outcome))
        else:
            ending = self._ending("failed", outcome)
            self._last.add_done_callback(lambda _: self.means.ledger.finish(ending))

    def _limits(self, has_fallback: bool) -> Limits:
        settings, left = self.means.settings, max(0.01, self._left())
        share = left * SHARE_BEFORE_FALLBACK if has_fallback else left
        whole = left if self.emit is not None else min(settings.answer_seconds, share)
        return Limits(
            whole=whole,
            first_token=min(settings.first_token_seconds, share),
            stall=settings.stall_seconds,
            most_bytes=int(settings.max_answer_mb * 1_000_000),
        )

    def _left(self) -> float:
        return self.until - asyncio.get_running_loop().time()

    def _too_late(self) -> CallFailed:
        spent = asyncio.get_running_loop().time() - self._began
        return DeadlineExceeded(
            f"the call of {self.caller.tenant} took {spent:.1f} s, all of its time, in {self.number} attempts: "
            "what was sent is charged at its maximum until a bill corrects it"
        )


def _unusable(outcome: Outcome, model: ModelSpec) -> UnusableOutcome:
    return UnusableOutcome(
        f"{model.name!r} gave no answer: {outcome.reason}", outcome=outcome.name.value, reply=outcome.reply
    )
