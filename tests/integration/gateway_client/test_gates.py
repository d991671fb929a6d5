"""A shut gate holds for everybody: told to other processes at once, and heeded until the last moment."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from gateway_client.client import GatewayClient
from gateway_client.errors import DeadlineExceeded
from gateway_client.ledger.ledger import Ledger
from gateway_client.settings import GatewaySettings
from gateway_client.simulator.running import Simulator
from gateway_client.store import schema
from gateway_client.store.opening import open_database
from tests.support.gateway_audit import rows_at
from tests.support.gateway_calls import HELLO

SHUT = 0.3


class ShutsLate(httpx.AsyncBaseTransport):
    """A network before which the gate shuts, after the request was begun and before it is sent."""

    def __init__(self, seconds: float) -> None:
        self._inner = httpx.AsyncHTTPTransport()
        self._seconds = seconds
        self.ledger: Ledger | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert self.ledger is not None
        self.ledger.shut("first", self._seconds)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


async def ask(url: str, simulator: Simulator, seconds: float, **more: Any) -> tuple[float, float]:
    """The loop's time at which the gate was to open, and when the answer was there."""
    network = ShutsLate(seconds)
    settings = GatewaySettings(url=url, first_token_seconds=SHUT / 2, answer_seconds=SHUT / 2)
    async with GatewayClient(settings, simulator.catalogue, transport=network) as llm:
        network.ledger = llm._opened().ledger
        loop = asyncio.get_running_loop()
        opens = loop.time() + seconds
        stream = await llm.stream(**HELLO, **more)
        async with stream:
            async for _ in stream:
                pass
        await llm.chat(**HELLO, **more)
        return opens, loop.time()


def test_nothing_is_sent_after_a_gate_shut_however_late_it_did(store_url: str, simulator: Simulator) -> None:
    opens, ended = asyncio.run(ask(store_url, simulator, SHUT))
    # Twice shut, and no wait at a gate is taken for a provider's silence: one request each.
    assert ended >= opens + SHUT
    first, second = simulator.log
    assert second.at - first.at >= SHUT


def test_a_call_whose_time_is_up_before_the_gate_opens_sent_nothing_and_costs_nothing(
    store_url: str, simulator: Simulator
) -> None:
    with pytest.raises(DeadlineExceeded):
        asyncio.run(ask(store_url, simulator, 60.0, deadline=0.2))
    assert simulator.log == []
    found = {(row.state, row.cost_micro, row.tokens) for row in rows_at(store_url, schema.attempt)}
    assert found == {("released", 0, 0)}


def test_every_other_process_hears_of_a_gate_before_the_ledger_does(store_url: str) -> None:
    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        one, other = (Ledger(open_database(store_url)) for _ in range(2))
        for ledger in (one, other):
            await ledger.open({})
        while one._neighbours.reachable() != {one.worker, other.worker}:
            await asyncio.sleep(0.01)
        began = loop.time()
        one.shut("pool", 30.0)
        while not other.gates.shut_for("pool") and loop.time() < began + 5:
            await asyncio.sleep(0.001)
        found = one.gates.shut_for("pool"), other.gates.shut_for("pool")
        for ledger in (one, other):
            await ledger.close()
        return found

    own, heard = asyncio.run(main())
    assert 29 < own <= 30
    assert 29 < heard <= 30
