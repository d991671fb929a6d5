"""Idempotency keys: one dispatcher, one outcome, and a caller who decides where the outcome is not known."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from gateway_client.call import Call
from gateway_client.errors import DeadlineExceeded, IdempotencyConflict, UnknownOutcome
from gateway_client.ledger.calls import Claimed
from gateway_client.messages import ChatRequest, Reply
from gateway_client.outcomes import judge
from gateway_client.records import Completion, Record

FIRST_LOOK, SLOWEST_LOOK = 0.02, 0.5


class Keyed:
    """A call and its key, if it has one."""

    def __init__(self, call: Call, on_unknown: str) -> None:
        self._call = call
        self._buy_again = on_unknown == "buy"

    async def claim(self) -> Completion | None:
        """Become the call's one dispatcher (None), or get what was bought before.

        Raises IdempotencyConflict, UnknownOutcome, and DeadlineExceeded while another dispatcher is at it.
        """
        if self._call.row.key is None:
            return None
        pause = FIRST_LOOK
        while True:
            found = await self._call.means.ledger.claim(self._call.row, buy_again=self._buy_again)
            if found.kind != "busy":
                return self._taken(found)
            if asyncio.get_running_loop().time() + pause >= self._call.until:
                raise DeadlineExceeded(
                    f"another dispatcher still works on {self._named()}: nothing was sent a second time"
                )
            await asyncio.sleep(pause)
            pause = min(SLOWEST_LOOK, 2 * pause)

    def _taken(self, found: Claimed) -> Completion | None:
        call = self._call
        if found.kind == "conflict":
            raise IdempotencyConflict(f"{self._named()} was used with another body: use another key")
        if found.kind == "unknown":
            raise UnknownOutcome(
                f"{self._named()} was dispatched before and may have been charged ({found.outcome or 'no outcome'}): "
                "its reply is not known. Pass on_unknown='buy' to buy it again"
            )
        if found.kind == "stored":
            return self._stored(found)
        call.claimed = True
        call.number = found.attempts
        call.row = replace(call.row, id=found.call)
        return None

    def _stored(self, found: Claimed) -> Completion:
        assert found.reply is not None
        reply, request = Reply.from_json(found.reply.decode()), self._call.request
        if isinstance(request, ChatRequest):
            reply = judge(reply, request).reply
        return Completion(reply, found.answered_by, found.call, Record.from_json(found.record), stored=True)

    def _named(self) -> str:
        row = self._call.row
        return f"idempotency key {row.key!r} of tenant {row.tenant}"
