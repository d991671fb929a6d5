"""Answers that are well-formed and yet not what was asked for, and models that cannot be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from gateway_client.client import GatewayClient
from gateway_client.errors import (
    BreakerOpen,
    ClientClosed,
    DeadlineExceeded,
    MalformedResponse,
    ProviderError,
)
from gateway_client.ledger.entries import Notices
from gateway_client.model import Capability
from gateway_client.settings import GatewaySettings
from gateway_client.store import schema
from tests.support.gateway import ask, call_row
from tests.support.gateway_audit import rows_at
from tests.support.gateway_calls import HELLO, LABEL_TOOL, hello, run
from tests.support.gateway_moments import arrived, waiting
from tests.support.gateway_stores import both_stores
from tests.support.model_calls import MODELS, without

CHAT: dict[str, Any] = HELLO | {"model": "sim-openai"}
EMBED: dict[str, Any] = {"tenant": "acme", "model": "sim-embed", "texts": ["a", "b", "c"]}


def vectors(*found: list[float]) -> Callable[[httpx.Request], httpx.Response]:
    """A server that answers every embedding with these."""
    data = [{"index": number, "embedding": vector} for number, vector in enumerate(found)]
    body = {"data": data, "model": "sim-embed-1", "usage": {"prompt_tokens": 3, "total_tokens": 3}}
    return lambda _: httpx.Response(200, json=body)


def embed(settings: GatewaySettings, answer: Callable[[httpx.Request], httpx.Response], **more: Any) -> Any:
    transport = httpx.MockTransport(answer)
    return run(settings, MODELS, lambda llm: llm.embed(**EMBED, **more), transport=transport)


@pytest.mark.parametrize(
    ("found", "more", "told"),
    [
        ([[1.0]], {}, "1 vectors of 1 numbers for 3 texts"),
        ([[1.0]] * 4, {}, "4 vectors of 1 numbers for 3 texts"),
        ([[1.0, 2.0]] * 3, {"dimensions": 3}, "3 vectors of 2 numbers for 3 texts"),
    ],
)
def test_vectors_that_are_not_one_for_each_text_are_no_answer(settings, found, more, told) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return vectors(*found)(request)

    with pytest.raises(MalformedResponse, match=told):
        embed(settings, answer, idempotency_key="k", **more)
    assert len(asked) == 1
    (attempt,) = rows_at(settings.store, schema.attempt)
    (call,) = rows_at(settings.store, schema.call)
    assert (attempt.state, attempt.outcome, attempt.input) == ("settled", "malformed", 3), "it was charged"
    assert (call.state, call.outcome, call.reply) == ("unknown", "malformed", None)


def test_vectors_are_float32_whichever_way_they_are_sent_so_that_stored_ones_are_the_same(settings) -> None:
    sent = [0.1, 1 / 3, 1e-7]
    first, again = (
        embed(settings, vectors(sent, sent, sent), idempotency_key="k", dimensions=3) for _ in range(2)
    )
    assert again.stored
    assert again.vectors == first.vectors
    assert first.vectors[0] != tuple(sent)
    assert first.vectors[0] == pytest.approx(sent, rel=1e-7)


def test_a_fallback_that_cannot_do_what_is_asked_does_not_hide_what_failed(settings, simulator) -> None:
    """All fallbacks lack tools: the call ends with the failure of the model that could be asked."""
    models = dict(simulator.catalogue.models)
    for name in ("sim-anthropic", "sim-large"):
        models[name] = without(models[name], Capability.TOOLS)
    catalogue = replace(simulator.catalogue, models=models)
    simulator.change(rules=[{"fault": "status", "status": 503}])
    with pytest.raises((ProviderError, BreakerOpen, DeadlineExceeded)) as caught:
        run(settings, catalogue, lambda llm: llm.chat(**CHAT, tools=[LABEL_TOOL], deadline=1.0))
    failed = caught.value if isinstance(caught.value, ProviderError) else caught.value.__cause__
    assert isinstance(failed, ProviderError)
    assert failed.status == 503
    assert {entry.model for entry in simulator.log} == {"sim-openai-2026-01-01"}
    assert len(simulator.log) > 1, "it was asked again"


def test_a_fallback_that_can_is_asked_past_one_that_cannot(settings, simulator) -> None:
    models = dict(simulator.catalogue.models)
    models["sim-anthropic"] = without(models["sim-anthropic"], Capability.TOOLS)
    catalogue = replace(simulator.catalogue, models=models)
    simulator.change(rules=[{"fault": "status", "status": 503, "model": "sim-openai-2026-01-01"}])
    asked = {**CHAT, "tools": [LABEL_TOOL], "tool_choice": "required"}
    found = run(settings, catalogue, lambda llm: llm.chat(**asked))
    assert found.model == "sim-large"
    assert found.record.attempts == 2
    assert found.record.last_failure == "overloaded (503) of 'sim-openai'"


def test_what_ends_a_call_names_what_failed_and_none_of_its_words(settings, simulator, operator) -> None:
    simulator.change(rules=[{"fault": "status", "status": 500}])

    async def burst(llm: GatewayClient) -> list[BaseException]:
        ended = await asyncio.gather(*(llm.chat(**HELLO) for _ in range(12)), return_exceptions=True)
        return [error for error in ended if isinstance(error, BreakerOpen)]

    found = run(settings, simulator.catalogue, burst)
    assert found
    for error in found:
        if error.__cause__ is None:
            assert "before that" not in str(error), "nothing of it was sent"
            continue
        assert str(error).endswith("; before that: server_error (500) of 'sim-alone'")
        assert isinstance(error.__cause__, ProviderError)
        assert error.wait is not None
    assert any(error.__cause__ for error in found)
    told = [row["record"] for row in operator.calls() if row["outcome"] == "BreakerOpen"]
    assert {one["last_failure"] for one in told if one["sends"]} == {"server_error (500) of 'sim-alone'"}


@pytest.mark.parametrize("lane", ["interactive", "batch"])
def test_closing_a_client_tells_who_waits(settings, simulator, operator, lane) -> None:
    async def main() -> tuple[Any, BaseException]:
        llm = GatewayClient(settings, simulator.catalogue)
        await llm.open()
        operator.set_pool("first", {"max_window": 1, "headroom": 0, "batch_minimum": 0})
        holder = asyncio.create_task(llm.chat(**hello("slow_first_token; seconds=1")))
        await arrived(simulator)
        queued = asyncio.create_task(llm.chat(**HELLO, deadline=60.0, lane=lane))
        await waiting(operator)
        await asyncio.wait_for(llm.close(), 10)
        found = await asyncio.wait_for(asyncio.gather(holder, queued, return_exceptions=True), 5)
        return found[0], found[1]

    answered, refused = asyncio.run(main())
    assert answered.text
    assert isinstance(refused, ClientClosed), repr(refused)
    calls = {row["outcome"] for row in operator.calls()}
    attempts = rows_at(settings.store, schema.attempt)
    assert calls == {"ok", "ClientClosed"}
    assert {row.state for row in attempts} <= {"settled", "released"}


@both_stores
def test_nobody_gets_in_while_a_client_signs_off(settings, simulator, operator) -> None:
    """Nobody would clear up after what was written behind the sign-off."""
    refused: list[BaseException | None] = []

    async def main() -> None:
        llm = GatewayClient(settings, simulator.catalogue)
        await llm.open()
        ledger, loop = llm.ledger, asyncio.get_running_loop()
        books = ledger._transactions
        signing_off = books.sign_off

        def late(worker: str) -> Notices:
            claim = ledger.claim(call_row(worker=worker, key="k"), buy_again=False)
            admission = ledger.admit(ask(worker=worker, pool="first"))
            for work in (claim, admission):
                refused.append(asyncio.run_coroutine_threadsafe(work, loop).exception(timeout=5))
            return signing_off(worker)

        books.sign_off = late  # type: ignore[method-assign]
        await llm.close()

    asyncio.run(main())
    assert [type(one) for one in refused] == [ClientClosed, ClientClosed]
    assert rows_at(settings.store, schema.attempt) == []
    assert operator.calls() == []
