"""One attempt of a call: admitted, sent, judged, settled. Rejected for capacity, it is admitted and sent again.

What it waits for can be cancelled at any moment. What was sent cannot be taken back: it ends in a task of its own,
which settles it, whoever still waits.
"""

from __future__ import annotations

import asyncio

from gateway_client.call import Call, Task
from gateway_client.dispatch import Dispatch
from gateway_client.errors import ClientClosed
from gateway_client.exchange.terms import Exchange, Limits
from gateway_client.exchange.wire import Wire
from gateway_client.ledger.entries import Answer, Ask, Effect, Settlement, new_id
from gateway_client.ledger.waiting import Wish
from gateway_client.messages import ChatRequest, StreamEvent
from gateway_client.model import ModelSpec
from gateway_client.pools import retries
from gateway_client.refusals import error_of
from gateway_client.tokens import estimate

# Where a fallback stands by, the model asked first does not get all of the time that is left.
SHARE_BEFORE_FALLBACK = 0.6
LONGEST_BACKOFF = 4.0


class Attempt:
    """One attempt of the ledger. `has_fallback`: another model stands by."""

    def __init__(self, call: Call, model: ModelSpec, *, has_fallback: bool) -> None:
        """Raises DeadlineExceeded, and GatewayError for what the model cannot do."""
        if call.left() <= 0:
            raise call.too_late()
        self._call, self._model, self._has_fallback = call, model, has_fallback
        self._built = call.made(model)
        self._ask = _ask(call, model)
        self._dispatch = Dispatch(call, self._ask)
        # With our ids a bill can be matched with the ledger.
        self._built.headers["x-request-id"] = call.record.request_id
        self._built.headers["x-client-request-id"] = self._ask.id
        self._built.headers["x-attempt"] = self._ask.id

    async def run(self) -> Exchange:
        """How it ended, settled. Raises GatewayError where it was not sent, or not again."""
        queued = _now()
        answer = await self._call.means.ledger.admit(self._ask)
        rejections = 0
        while True:
            self._check(answer, queued)
            exchange = await self._sent()
            if not exchange.rejected:
                return exchange
            rejections += 1
            queued = _now()
            answer = await self._again(exchange, rejections, answer.sends)

    def _check(self, answer: Answer, queued: float) -> None:
        if answer.refusal is not None:
            raise error_of(answer.refusal)
        self._call.record.queue_wait += _now() - queued

    async def _again(self, exchange: Exchange, rejections: int, sends: int) -> Answer:
        """Back into the queue, with the hold kept. Where the provider names no time, a jittered one is taken."""
        call, effect = self._call, exchange.settlement.effect
        call.record.rejections += 1
        backoff = 0.0
        if (effect.retry_after or 0.0) < retries.FIRST:
            backoff = retries.jitter(rejections, call.means.random, LONGEST_BACKOFF)
        patience = call.left()
        if patience <= 0:
            self._dispatch.release(exchange.settlement)
            raise call.too_late()
        wish = Wish(self._ask.pool, self._ask.id, patience, sends + 1)
        return await call.means.ledger.requeue(wish, effect, backoff=backoff)

    async def _sent(self) -> Exchange:
        """Send what was granted, in a task that our caller cannot cancel."""
        call = self._call
        wire = Wire(
            call.means.http,
            self._model,
            call.request,
            self._built,
            self._limits(),
            self._gate_opened,
            call.until,
            None if call.emit is None else self._pass_on,
        )
        try:
            task = call.sending = call.means.spawn(self._dispatch.send(wire))
        except ClientClosed:
            self._dispatch.release(Settlement("released", Effect("not_sent"), "closed"))
            raise
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if task.cancelled() and current is not None and not current.cancelling():
                raise ClientClosed("the gateway client was closed before the answer had come") from None
            call.emit, call.left_by_caller = None, True
            call.means.drain(task)
            task.add_done_callback(self._release_rejected)
            raise

    def _release_rejected(self, done: Task) -> None:
        """Rejected after its caller had left: it does not wait again."""
        if not done.cancelled() and done.exception() is None and done.result().rejected:
            self._dispatch.release(done.result().settlement)

    def _limits(self) -> Limits:
        settings, left = self._call.means.settings, max(0.01, self._call.left())
        share = left * SHARE_BEFORE_FALLBACK if self._has_fallback else left
        return Limits(
            whole=left if self._call.emit is not None else min(settings.answer_seconds, share),
            first_token=min(settings.first_token_seconds, share),
            stall=settings.stall_seconds,
            most_bytes=int(settings.max_answer_mb * 1_000_000),
        )

    def _pass_on(self, event: StreamEvent) -> None:
        call = self._call
        if call.emit is not None:
            call.emitted = call.emitted or not call.buffered
            call.emit(event)

    async def _gate_opened(self) -> float:
        """Wait for a gate that was shut after the grant; returns the seconds. Nothing is sent that nobody wants."""
        waited = await self._call.means.ledger.gates.opened(self._ask.pool)
        if self._call.left_by_caller:
            raise asyncio.CancelledError
        return waited


def _ask(call: Call, model: ModelSpec) -> Ask:
    """What is asked of the ledger: the most that the attempt can take. The call counts it."""
    call.number += 1
    call.record.attempts = call.number
    call.record.models.append(model.name)
    output = call.request.max_tokens if isinstance(call.request, ChatRequest) else 0
    prompt = estimate(call.request, model)
    return Ask(
        id=new_id(),
        call=call.row.id,
        number=call.number,
        worker=call.means.ledger.worker,
        pool=model.pool,
        lane=call.caller.lane.value,
        tenant=call.caller.tenant,
        feature=call.caller.feature,
        run=call.caller.run,
        provider=model.provider,
        model=model.name,
        input_tokens=prompt,
        max_output=output,
        microdollars=model.most(prompt, output),
        patience=call.left(),
        most=call.caller.most,
        begins=call.row if call.number == 1 and not call.claimed else None,
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
