"""The one retry loop: along the approved models, and around again as long as there is time and a retry token."""

from __future__ import annotations

import asyncio
from itertools import compress

from gateway_client.attempt import Attempt
from gateway_client.call import Call
from gateway_client.errors import (
    BreakerOpen,
    CallFailed,
    GatewayError,
    InvalidCall,
    ProviderError,
    UnusableOutcome,
)
from gateway_client.exchange.terms import Exchange, Request
from gateway_client.lanes import Lane
from gateway_client.last_failure import name_last
from gateway_client.messages import ChatRequest
from gateway_client.outcomes import judge
from gateway_client.pools import retries
from gateway_client.providers.failure import FailureKind
from gateway_client.records import Answered


async def run(call: Call) -> Answered:
    """The answer to a call. Raises GatewayError; cancelled, it leaves nothing held that was not sent.

    However it ends, its row says so.
    """
    call.begun = True
    try:
        return await _Loop(call).answer()
    except asyncio.CancelledError:
        call.fail_later("cancelled")
        raise
    except GatewayError as error:
        name_last(error, call.last)
        await call.fail(error)
        raise
    except BaseException:
        call.fail_later("internal_error")
        raise


class _Loop:
    """Where a call stands among its models, and how often it has failed there."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._models = list(call.models)
        self._position = 0
        self._failures = 0
        self._corrected = False
        self._refused: GatewayError = CallFailed("no model could be asked")

    async def answer(self) -> Answered:
        """Attempt after attempt, until one answers."""
        call = self._call
        while True:
            exchange = await self._attempt()
            if exchange is None:
                continue
            if exchange.error is None:
                assert exchange.reply is not None
                return call.answered(exchange.reply)
            again = self._correction(exchange.error)
            if again is not None:
                call.request = again
            elif call.emitted or not (exchange.transient or exchange.elsewhere):
                raise exchange.error
            else:
                await self._move_on(exchange, exchange.error)

    async def _attempt(self) -> Exchange | None:
        """One attempt, or None after going on to the next model because this one cannot be asked."""
        model = self._models[self._position]
        try:
            attempt = Attempt(self._call, model, has_fallback=len(self._models) > 1)
            return await attempt.run()
        except BreakerOpen as refused:
            self._position += 1
            if self._position >= len(self._models):
                raise
            self._refused = refused
        except InvalidCall:
            if model is self._call.models[0]:
                raise
            await self._pass_over()
        return None

    async def _pass_over(self) -> None:
        """A fallback that cannot do what is asked is none; what went wrong before it is the error."""
        self._models.pop(self._position)
        if self._position < len(self._models):
            return
        if self._call.last is None or not self._models:
            raise self._call.last.error if self._call.last else self._refused
        await self._around(self._models[0].pool, self._call.last.error)

    def _correction(self, error: GatewayError) -> Request | None:
        """The request to send once more after an answer that was none; None where that cannot help."""
        call = self._call
        if not isinstance(error, UnusableOutcome) or self._corrected or call.emitted:
            return None
        if not isinstance(call.request, ChatRequest) or error.reply is None:
            return None
        outcome = judge(error.reply, call.request)
        if outcome.correction is None and not outcome.again:
            return None
        self._corrected = True
        if outcome.correction is None:
            return call.request
        return call.request.with_correction(error.reply.text, outcome.correction)

    async def _move_on(self, exchange: Exchange, error: GatewayError) -> None:
        """After a failure: to the next model at once, or around again for a retry token."""
        failed = self._models[self._position]
        if exchange.elsewhere:
            self._models.pop(self._position)
            if isinstance(error, ProviderError) and error.kind == FailureKind.CONTEXT_OVERFLOW:
                self._keep_larger(failed.context_window)
        else:
            self._position += 1
        if self._position < len(self._models):
            return
        if not self._models:
            raise error
        await self._around((failed if failed in self._models else self._models[0]).pool, error)

    def _keep_larger(self, window: int) -> None:
        """What was too long for one model is none's with no more room."""
        larger = [model.context_window > window for model in self._models]
        self._position = sum(larger[: self._position])
        self._models = list(compress(self._models, larger))

    async def _around(self, pool: str, error: GatewayError) -> None:
        """From the first model again, after a wait with full jitter; raises the error where there is no retry."""
        self._position = 0
        self._failures += 1
        while True:
            wait = retries.jitter(self._failures, self._call.means.random)
            if wait >= self._call.left():
                raise error
            await asyncio.sleep(wait)
            if await self._call.means.ledger.spend_retry(pool):
                return
            if self._call.caller.lane != Lane.BATCH:
                raise error
            self._failures += 1
