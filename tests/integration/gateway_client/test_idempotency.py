"""Idempotency keys of every operation: one dispatch, one outcome, the same answer again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway_client.client import GatewayClient
from gateway_client.errors import GatewayError, IdempotencyConflict, InvalidCall, UnknownOutcome
from gateway_client.ledger.recovery import expire
from gateway_client.policy import KnownTenants, TenantPolicy
from gateway_client.records import Completion, Embeddings
from gateway_client.store import schema
from gateway_client.store.opening import open_database
from gateway_client.sync import SyncGatewayClient
from tests.support.gateway_audit import rows, rows_at
from tests.support.gateway_calls import LABEL_TOOL, hello, run_audited, simulate
from tests.support.gateway_moments import arrived, left
from tests.support.gateway_stores import both_stores
from tests.support.model_calls import LABEL_SCHEMA

OPERATIONS = ("chat", "embed", "stream")
operations = pytest.mark.parametrize("operation", OPERATIONS)


def asked(operation: str, fault: str = "none", **more: Any) -> dict[str, Any]:
    """The options of one call under the key `k`."""
    given: dict[str, Any] = {"tenant": "acme", "idempotency_key": "k"}
    if operation == "embed":
        return {**given, "model": "sim-embed", "texts": ["b", "ä", simulate(fault)], **more}
    return {**hello(fault), **given, **more}


async def ask(
    llm: GatewayClient, operation: str, fault: str = "none", **more: Any
) -> Completion | Embeddings:
    """One call, read to its end."""
    given = asked(operation, fault, **more)
    if operation == "chat":
        return await llm.chat(**given)
    if operation == "embed":
        return await llm.embed(**given)
    stream = await llm.stream(**given)
    text = await stream.text()
    assert text == stream.completion.text
    return stream.completion


def answer(found: Completion | Embeddings) -> Any:
    """What a caller goes by."""
    if isinstance(found, Embeddings):
        return found.vectors, found.reply.usage, found.model, found.call
    return found.text, found.tool_calls, found.parsed, found.usage, found.finish, found.model, found.call


@both_stores
@operations
def test_a_key_is_dispatched_once_and_gives_the_same_answer_again(settings, simulator, operation) -> None:
    async def many(llm: GatewayClient) -> Any:
        return await asyncio.gather(*(ask(llm, operation) for _ in range(5)))

    found = run_audited(settings, simulator, many)
    again = run_audited(settings, simulator, lambda llm: ask(llm, operation))
    assert len(simulator.log) == 1
    assert sorted(one.stored for one in found) == [False, True, True, True, True]
    assert again.stored
    first = next(one for one in found if not one.stored)
    assert all(answer(one) == answer(first) for one in (*found, again))
    assert again.record.cost == first.record.cost > 0


@operations
def test_a_key_is_for_one_body_and_one_operation(settings, simulator, operation) -> None:
    other_body = {"texts": ["other"]} if operation == "embed" else {"max_tokens": 41}

    async def all_of_them(llm: GatewayClient) -> None:
        await ask(llm, operation)
        with pytest.raises(IdempotencyConflict, match="another body"):
            await ask(llm, operation, **other_body)
        for other in OPERATIONS:
            if other != operation:
                with pytest.raises(IdempotencyConflict, match="another operation"):
                    await ask(llm, other)
        assert not (await ask(llm, operation, tenant="globex")).stored, "a key belongs to a tenant"

    run_audited(settings, simulator, all_of_them)
    assert len(simulator.log) == 2


@operations
def test_what_may_have_been_charged_fails_or_is_bought_again_as_asked(settings, simulator, operation) -> None:
    fault = "reset; attempts=1" if operation == "embed" else "cut_stream; after=2; attempts=1"
    same = {"request_id": "ours"}
    once = {"max_cost": 700 if operation != "embed" else 5}  # room for one attempt

    async def thrice(llm: GatewayClient) -> Any:
        with pytest.raises(GatewayError):
            await ask(llm, operation, fault, **same, **once)
        assert len(simulator.log) == 1
        with pytest.raises(UnknownOutcome, match="on_unknown='buy'"):
            await ask(llm, operation, fault, **same)
        assert len(simulator.log) == 1
        bought = await ask(llm, operation, fault, on_unknown="buy", **same)
        return bought, await ask(llm, operation, fault, **same)

    bought, again = run_audited(settings, simulator, thrice)
    assert len(simulator.log) == 2
    assert (bought.stored, again.stored) == (False, True)
    assert answer(again) == answer(bought)
    assert (bought.record.attempts, bought.record.sends) == (2, 2), "of both dispatches"


@operations
def test_what_failed_for_nothing_is_simply_tried_again(settings, simulator, operation) -> None:
    async def twice(llm: GatewayClient) -> Any:
        with pytest.raises(GatewayError):
            await ask(llm, operation, "bad_request; attempts=1", request_id="ours")
        return await ask(llm, operation, "bad_request; attempts=1", request_id="ours")

    assert not run_audited(settings, simulator, twice).stored
    assert len(simulator.log) == 2


@operations
def test_replies_expire_by_their_tenants_terms_and_are_wiped(settings, simulator, operation) -> None:
    policy = KnownTenants({"acme": TenantPolicy(reply_retention=0.001), "globex": TenantPolicy()})

    async def both(llm: GatewayClient) -> Any:
        for tenant in ("acme", "globex"):
            await ask(llm, operation, tenant=tenant)
        await asyncio.sleep(0.01)
        return [(await ask(llm, operation, tenant=tenant)).stored for tenant in ("acme", "globex")]

    assert run_audited(settings, simulator, both, policy=policy) == [False, True]
    assert len(simulator.log) == 3
    database = open_database(settings.store)
    wiped = database.write(lambda c: expire(c, database.now(c) + 1))
    assert wiped == 1
    assert {row.tenant: row.reply is None for row in rows(database, schema.call)} == {
        "acme": True,
        "globex": False,
    }
    database.close()


def test_a_stream_that_was_left_is_drained_and_given_again(settings, simulator) -> None:
    fault = "stall; after=2; seconds=0.2"

    async def leave(llm: GatewayClient) -> Any:
        async with await llm.stream(**asked("stream", fault)) as stream:
            first = [event.text async for event in stream if await stream.close() is None]
        return first, await ask(llm, "stream", fault)

    first, again = run_audited(settings, simulator, leave)
    assert again.stored
    assert again.text.startswith("".join(first))
    assert again.finish is not None
    assert len(simulator.log) == 1


def test_a_stream_that_is_closed_before_it_began_leaves_its_key_free(settings, simulator) -> None:
    async def close(llm: GatewayClient) -> Any:
        stream = await llm.stream(**asked("stream"))
        await stream.close()
        assert [event async for event in stream] == []
        return await ask(llm, "stream")

    assert not run_audited(settings, simulator, close).stored
    assert len(simulator.log) == 1


@pytest.mark.parametrize("buffer", [False, True])
@pytest.mark.parametrize(
    "more", [{}, {"schema": LABEL_SCHEMA}, {"tools": [LABEL_TOOL], "tool_choice": "required"}], ids=str
)
def test_a_stored_stream_gives_the_same_text_and_tools_in_pieces(settings, simulator, more, buffer) -> None:
    async def pieces(llm: GatewayClient) -> Any:
        stream = await llm.stream(**asked("stream", **more), buffer=buffer)
        return [event async for event in stream], stream.completion

    async def both(llm: GatewayClient) -> Any:
        return await pieces(llm), await pieces(llm)

    (live, first), (again, stored) = run_audited(settings, simulator, both)
    assert stored.stored
    assert answer(stored) == answer(first)
    assert _joined(again) == _joined(live)
    assert _joined(again) == (first.text, {n: tool.arguments for n, tool in enumerate(first.tool_calls)})


def _joined(events: list[Any]) -> tuple[str, dict[int, str]]:
    calls: dict[int, str] = {}
    for event in events:
        if event.tool_call is not None:
            index, call = event.tool_call
            calls[index] = calls.get(index, "") + call.arguments
    return "".join(event.text for event in events), calls


def test_stored_vectors_take_four_bytes_a_number(settings, simulator) -> None:
    texts = [f"text {number}" for number in range(20)]
    found = run_audited(settings, simulator, lambda llm: ask(llm, "embed", texts=texts, dimensions=64))
    assert [len(vector) for vector in found.vectors] == [64] * 20
    (row,) = rows_at(settings.store, schema.call)
    assert 4 * 64 * 20 < len(row.reply) < 4 * 64 * 20 + 600


def test_a_caller_of_embed_who_left_finds_the_vectors_under_the_key(settings, simulator) -> None:
    fault = "slow_first_token; seconds=0.3"

    async def leave(llm: GatewayClient) -> Any:
        with pytest.raises(asyncio.CancelledError):
            await left(ask(llm, "embed", fault), arrived(simulator))
        return await ask(llm, "embed", fault)

    assert run_audited(settings, simulator, leave).stored
    assert len(simulator.log) == 1


@both_stores
def test_synchronous_code(settings, simulator) -> None:
    def thrice(llm: SyncGatewayClient) -> list[Any]:
        chat = llm.chat(**asked("chat", idempotency_key="1"))
        embedded = llm.embed(**asked("embed", idempotency_key="2"))
        with llm.stream(**asked("stream", idempotency_key="3")) as stream:
            assert "".join(event.text for event in stream) == stream.completion.text
        return [chat, embedded, stream.completion]

    with SyncGatewayClient(settings, simulator.catalogue) as llm:
        first, again = thrice(llm), thrice(llm)
        left = llm.stream(**asked("stream", "stall; after=2; seconds=0.2", idempotency_key="4"))
        for _ in left:
            break
        del left
        drained = llm.stream(**asked("stream", "stall; after=2; seconds=0.2", idempotency_key="4"))
        assert drained.text()
        assert drained.completion.stored
        with pytest.raises(IdempotencyConflict):
            llm.stream(**asked("stream", idempotency_key="1"))
    assert [one.stored for one in (*first, *again)] == [False] * 3 + [True] * 3
    assert [answer(one) for one in first] == [answer(one) for one in again]
    assert len(simulator.log) == 4


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"idempotency_key": ""}, "1 to 200"),
    ({"idempotency_key": "k" * 201}, "1 to 200"),
    ({"idempotency_key": "a\x00b"}, "printable"),
    ({"on_unknown": "maybe"}, "'fail' or 'buy'"),
    ({"request_id": "ü"}, "printable ASCII"),
    ({"request_id": "a\r\nx-key: b"}, "printable ASCII"),
]


def test_keys_that_are_none(settings, simulator) -> None:
    async def refused(llm: GatewayClient) -> None:
        for operation in OPERATIONS:
            for wrong, told in WRONG:
                with pytest.raises(InvalidCall, match=told):
                    await ask(llm, operation, **wrong)

    run_audited(settings, simulator, refused)
    assert simulator.log == []
