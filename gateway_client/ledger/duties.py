"""What a worker does beside its calls: again and again, until it signs off."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from gateway_client.errors import GatewayError

log = logging.getLogger("holdfast.gateway")


class Duties:
    """Tasks of one event loop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def once(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this, without anybody waiting for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        """Do this after every so many seconds. What fails is done again the next time."""
        self.once(_again(seconds, work))

    async def end(self) -> None:
        """Do no more, and wait until nothing is being done."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _again(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            with contextlib.suppress(GatewayError):  # the store is not there: whoever calls is told
                await work()
        except Exception:
            log.exception("a duty of the gateway's ledger failed: it is tried again in %g s", seconds)
