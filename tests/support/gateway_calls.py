"""Calls to a simulated provider, and an open client to make them with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from gateway_client.catalogue import Catalogue
from gateway_client.client import GatewayClient
from gateway_client.settings import GatewaySettings
from gateway_client.simulator.running import Simulator
from gateway_client.simulator.settings import Settings
from gateway_client.store.opening import open_database
from tests.support.gateway_audit import bill_of, violations
from tests.support.model_calls import LABEL_SCHEMA

HELLO: dict[str, Any] = {
    "tenant": "acme",
    "model": "sim-alone",
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": 40,
}
LABEL_TOOL: dict[str, Any] = {"name": "label", "description": "…", "parameters": LABEL_SCHEMA}

Work = Callable[[GatewayClient], Awaitable[Any]]


def simulate(fault: str) -> str:
    """A text that has the simulator show a fault (`none`: no fault)."""
    return f"hello [[simulate:{fault}]]"


def hello(fault: str = "none", **more: Any) -> dict[str, Any]:
    """The options of a chat call of acme's that meets a fault."""
    return {**HELLO, "messages": [{"role": "user", "content": simulate(fault)}], **more}


def afresh(running: Simulator, settings: Settings) -> Simulator:
    """A simulator that runs already, as if it had just started with these settings."""
    running.provider.change(settings)
    running.reset()
    return running


def run(settings: GatewaySettings, catalogue: Catalogue, work: Work, **more: Any) -> Any:
    """Do something with a client that is open; `more` are its other options."""

    async def main() -> Any:
        async with GatewayClient(settings, catalogue, **{"seed": 1, **more}) as llm:
            return await work(llm)

    return asyncio.run(main())


def run_audited(settings: GatewaySettings, simulator: Simulator, work: Work, **more: Any) -> Any:
    """As `run`; nothing may be held or wrong afterwards, however it ended."""
    try:
        return run(settings, simulator.catalogue, work, **more)
    finally:
        database = open_database(settings.store)
        assert violations(database, bill_of(simulator)) == []
        database.close()
