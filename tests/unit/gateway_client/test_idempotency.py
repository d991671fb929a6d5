"""What a key stands for, and what is made of it."""

from __future__ import annotations

import asyncio

import pytest

from gateway_client.call import Call
from gateway_client.errors import DeadlineExceeded, IdempotencyConflict, UnknownOutcome
from gateway_client.idempotency import claim
from gateway_client.ledger.calls import Claimed
from gateway_client.options import OnUnknown
from gateway_client.records import Answered, Record
from gateway_client.stored_replies import packed
from tests.support.calls_under_way import ScriptedLedger, call_under_way
from tests.support.model_calls import reply

STORED = Claimed(
    "stored",
    "first",
    reply=packed(reply("yes")),
    outcome="ok",
    answered_by="m",
    record=Record("r1", document_ids=["d"], sends=2).to_json(),
)


def claimed(
    *found: Claimed, on_unknown: OnUnknown = "fail", key: str | None = "k", seconds: float = 5.0
) -> tuple[Answered | None, Call, ScriptedLedger]:
    ledger = ScriptedLedger(found)

    async def main() -> tuple[Answered | None, Call]:
        call = call_under_way(ledger, key=key, seconds=seconds)
        return await claim(call, on_unknown), call

    answered, call = asyncio.run(main())
    return answered, call, ledger


def test_a_call_without_a_key_asks_nobody() -> None:
    answered, call, ledger = claimed(key=None)
    assert (answered, call.claimed, ledger.asked) == (None, False, [])


def test_the_one_dispatcher_goes_on_where_others_stopped() -> None:
    answered, call, _ = claimed(Claimed("yours", "first", attempts=3, sends=5))
    assert answered is None
    assert call.claimed
    assert (call.row.id, call.number, call.record.attempts, call.record.sends) == ("first", 3, 3, 5)


def test_what_is_stored_is_given_with_its_own_record() -> None:
    answered, call, _ = claimed(STORED)
    assert answered == Answered(
        reply("yes"), "m", "first", Record("r1", document_ids=["d"], sends=2), stored=True
    )
    assert not call.claimed


def test_others_wait_for_the_dispatcher() -> None:
    answered, _, ledger = claimed(Claimed("busy", "first"), Claimed("busy", "first"), STORED)
    assert answered is not None
    assert answered.stored
    assert len(ledger.asked) == 3


def test_nobody_waits_beyond_the_time_of_the_call() -> None:
    with pytest.raises(DeadlineExceeded, match=r"key 'k' of tenant acme: nothing was sent a second time"):
        claimed(Claimed("busy", "first"), seconds=0.05)


@pytest.mark.parametrize(
    ("found", "error", "told"),
    [
        (Claimed("conflict", "first"), IdempotencyConflict, "another body, or for another operation"),
        (Claimed("unknown", "first", outcome="reset"), UnknownOutcome, r"charged \(reset\)"),
        (Claimed("unknown", "first"), UnknownOutcome, "no outcome"),
    ],
)
def test_what_is_refused_is_not_claimed(found: Claimed, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        claimed(found)


@pytest.mark.parametrize(("on_unknown", "again"), [("fail", False), ("buy", True)])
def test_who_says_buy_may_buy_again(on_unknown: OnUnknown, again: bool) -> None:
    _, _, ledger = claimed(Claimed("yours", "first"), on_unknown=on_unknown)
    assert ledger.asked == [again]
