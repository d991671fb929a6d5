"""Answers that are well-formed and yet not what was asked for, and models that cannot be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway_client.catalogue import Catalogue
from gateway_client.client import GatewayClient
from gateway_client.errors import (
    BreakerOpen,
    ClientClosed,
    DeadlineExceeded,
    MalformedResponse,
    ProviderError,
)
from gateway_client.model import Capability
from gateway_client.operating import Operator
from gateway_client.settings import GatewaySettings
from gateway_client.simulator.running import SIMULATED, Simulator
from gateway_client.store import schema
from gateway_client.store.opening import open_database
from tests.support.gateway_audit import rows
from tests.support.model_calls import LABEL_SCHEMA, without

TOOL = {"name": "label", "description": "…", "parameters": LABEL_SCHEMA}
CHAT: dict[str, Any] = {
    "tenant": "acme",
    "model": "sim-openai",
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": 40,
}
EMBED: dict[str, Any] = {"tenant": "acme", "model": "sim-embed", "texts": ["a", "b", "c"]}


@pytest.fixture(scope="module")
def running() -> Iterator[Simulator]:
    with Simulator(output_tokens=5) as found:
        yield found


@pytest.fixture
def simulator(running: Simulator) -> Simulator:
    running.change(rules=[])
    running.reset()
    return running


@pytest.fixture
def settings(tmp_path: Path) -> GatewaySettings:
    return GatewaySettings(url=f"sqlite:///{tmp_path / 'gateway.sqlite3'}", drain_seconds=1.0)


def vectors(*found: list[float]) -> Callable[[httpx.Request], httpx.Response]:
    """A server that answers every embedding with these."""
    data = [{"index": number, "embedding": vector} for number, vector in enumerate(found)]
    body = {"data": data, "model": "sim-embed-1", "usage": {"prompt_tokens": 3, "total_tokens": 3}}
    return lambda _: httpx.Response(200, json=body)


def embed(settings: GatewaySettings, answer: Callable[[httpx.Request], httpx.Response], **more: Any) -> Any:
    async def main() -> Any:
        catalogue, transport = Catalogue.load(SIMULATED), httpx.MockTransport(answer)
        async with GatewayClient(settings, catalogue, transport=transport) as llm:
            return await llm.embed(**EMBED, **more)

    return asyncio.run(main())


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
    database = open_database(settings.store)
    (attempt,) = rows(database, schema.attempt)
    (call,) = rows(database, schema.call)
    database.close()
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

    async def main() -> None:
        async with GatewayClient(settings, catalogue, seed=1) as llm:
            await llm.chat(**CHAT, tools=[TOOL], deadline=1.0)

    with pytest.raises((ProviderError, BreakerOpen, DeadlineExceeded)) as caught:
        asyncio.run(main())
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

    async def main() -> Any:
        async with GatewayClient(settings, catalogue, seed=1) as llm:
            return await llm.chat(**CHAT, tools=[TOOL], tool_choice="required")

    found = asyncio.run(main())
    assert found.model == "sim-large"
    assert found.record.attempts == 2
    assert found.record.last_failure == "overloaded (503) of 'sim-openai'"


def test_what_ends_a_call_names_what_failed_and_none_of_its_words(settings, simulator) -> None:
    simulator.change(rules=[{"fault": "status", "status": 500}])

    async def main() -> list[BaseException]:
        async with GatewayClient(settings, simulator.catalogue, seed=1) as llm:
            asked = [llm.chat(**CHAT | {"model": "sim-alone"}) for _ in range(12)]
            return [
                e for e in await asyncio.gather(*asked, return_exceptions=True) if isinstance(e, BreakerOpen)
            ]

    found = asyncio.run(main())
    assert found
    for error in found:
        if error.__cause__ is None:
            assert "before that" not in str(error), "nothing of it was sent"
            continue
        assert str(error).endswith("; before that: server_error (500) of 'sim-alone'")
        assert isinstance(error.__cause__, ProviderError)
        assert error.wait is not None
    assert any(error.__cause__ for error in found)
    database = open_database(settings.store)
    told = [row["record"] for row in Operator(database).calls() if row["outcome"] == "BreakerOpen"]
    database.close()
    assert {one["last_failure"] for one in told if one["sends"]} == {"server_error (500) of 'sim-alone'"}


@pytest.mark.parametrize("lane", ["interactive", "batch"])
def test_closing_a_client_tells_who_waits(settings, simulator, lane) -> None:
    database = open_database(settings.store)
    operator = Operator(database)

    async def main() -> tuple[Any, BaseException]:
        llm = GatewayClient(settings, simulator.catalogue)
        await llm.open()
        operator.set_pool("first", {"max_window": 1, "headroom": 0, "batch_minimum": 0})
        slow = [{"role": "user", "content": "[[simulate:slow_first_token; seconds=0.3]]"}]
        holder = asyncio.create_task(llm.chat(**{**CHAT, "model": "sim-alone", "messages": slow}))
        await asyncio.sleep(0.1)
        waiting = asyncio.create_task(llm.chat(**{**CHAT, "model": "sim-alone", "deadline": 60.0}, lane=lane))
        await asyncio.sleep(0.1)
        await asyncio.wait_for(llm.close(), 10)
        found = await asyncio.wait_for(asyncio.gather(holder, waiting, return_exceptions=True), 5)
        return found[0], found[1]

    answered, refused = asyncio.run(main())
    assert answered.text
    assert isinstance(refused, ClientClosed), repr(refused)
    calls = {row["outcome"] for row in operator.calls()}
    attempts = rows(database, schema.attempt)
    database.close()
    assert calls == {"ok", "ClientClosed"}
    assert {row.state for row in attempts} <= {"settled", "released"}
