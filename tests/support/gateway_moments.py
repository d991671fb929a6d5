"""Moments in the life of a call, told by what can be seen of it and not by a clock: machines stall."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from gateway_client.operating import Operator
from gateway_client.simulator.running import Simulator

PATIENCE = 30.0


async def true(condition: Callable[[], bool]) -> None:
    """Until it is so. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.005)


async def arrived(simulator: Simulator, requests: int = 1) -> None:
    """Until the provider has seen so many requests."""
    await true(lambda: len(simulator.log) >= requests)


async def waiting(operator: Operator, tenant: str = "acme", sends: int = 0) -> None:
    """Until a call of the tenant waits for its grant, sent so often before."""

    def waits() -> bool:
        made = (attempt for call in operator.calls(tenant=tenant) for attempt in call["attempts"])
        return any((attempt["state"], attempt["sends"]) == ("waiting", sends) for attempt in made)

    await true(waits)


async def left(call: Coroutine[Any, Any, Any], when: Awaitable[None]) -> None:
    """A caller who leaves then. Raises CancelledError, or whatever the call came to before."""
    asked = asyncio.create_task(call)
    await when
    asked.cancel()
    await asked
