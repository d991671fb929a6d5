"""Idempotency keys: one dispatcher, one outcome, and a caller who decides where the outcome is not known."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from gateway_client.call import Call
from gateway_client.errors import DeadlineExceeded, IdempotencyConflict, UnknownOutcome
from gateway_client.ledger.calls import Claimed
from gateway_client.options import OnUnknown
from gateway_client.records import Answered, Record
from gateway_client.stored_replies import unpacked

FIRST_LOOK, SLOWEST_LOOK = 0.02, 0.5


async def claim(call: Call, on_unknown: OnUnknown) -> Answered | None:
    """Become the call's one dispatcher (None), or get what was bought before. A call without a key is its own.

    Raises IdempotencyConflict, UnknownOutcome, and DeadlineExceeded while another dispatcher is at it.
    """
    if call.row.key is None:
        return None
    pause = FIRST_LOOK
    while True:
        found = await call.means.ledger.claim(call.row, buy_again=on_unknown == "buy")
        if found.kind != "busy":
            return _taken(call, found)
        if pause >= call.left():
            raise DeadlineExceeded(
                f"another dispatcher still works on {_named(call)}: nothing was sent a second time"
            )
        await asyncio.sleep(pause)
        pause = min(SLOWEST_LOOK, 2 * pause)


def _taken(call: Call, found: Claimed) -> Answered | None:
    if found.kind == "conflict":
        raise IdempotencyConflict(
            f"{_named(call)} was used with another body, or for another operation: use another key"
        )
    if found.kind == "unknown":
        raise UnknownOutcome(
            f"{_named(call)} was dispatched before and may have been charged ({found.outcome or 'no outcome'}): "
            "its reply is not known. Pass on_unknown='buy' to buy it again"
        )
    if found.kind == "stored":
        assert found.reply is not None
        try:
            reply, record = unpacked(found.reply, call.request), Record.from_json(found.record)
        except (ValueError, RecursionError):
            raise UnknownOutcome(
                f"{_named(call)} was answered before, and its reply cannot be read"
            ) from None
        return Answered(reply, found.answered_by, found.call, record, stored=True)
    call.claimed = True
    call.row = replace(call.row, id=found.call)
    call.number = call.record.attempts = found.attempts
    call.record.sends = found.sends
    return None


def _named(call: Call) -> str:
    return f"idempotency key {call.row.key!r} of tenant {call.row.tenant}"
