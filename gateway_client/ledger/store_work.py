"""Work on the store from asynchronous code: done in its threads, by priority, whoever still waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from gateway_client.errors import StoreUnavailable
from gateway_client.store.database import Database
from gateway_client.store.threads import Priority, StoreThreads

T = TypeVar("T")
# A store that takes longer than this to answer is not there.
STORE_SECONDS = 10.0


class StoreWork:
    """The threads of one store."""

    def __init__(self, database: Database) -> None:
        self._place = database.place
        self._threads = StoreThreads(database.threads)

    def submit(self, priority: Priority, work: Callable[[], T]) -> Future[T]:
        """Have it done. Raises ClientClosed."""
        return self._threads.submit(priority, work)

    async def ask(self, priority: Priority, work: Callable[[], T]) -> T:
        """Have it done and wait for it. Raises StoreUnavailable, ClientClosed."""
        return await self.result(self.submit(priority, work), STORE_SECONDS)

    async def result(self, submitted: Future[T], seconds: float | None = STORE_SECONDS) -> T:
        """The future's result; cancelling the wait does not cancel what was submitted. Raises StoreUnavailable."""
        try:
            # Not `asyncio.wait_for`: before Python 3.12 it swallows a cancellation that comes together with the
            # result, and whoever was cancelled goes on.
            async with asyncio.timeout(seconds):
                return await asyncio.shield(asyncio.wrap_future(submitted))
        except TimeoutError as error:
            submitted.cancel()
            raise StoreUnavailable(
                f"the gateway's store at {self._place} did not answer within {STORE_SECONDS:g} s: "
                "nothing is sent without a ledger"
            ) from error

    async def finish(self) -> None:
        """Wait until what was submitted is done, but not for ever."""
        await asyncio.get_running_loop().run_in_executor(None, self._threads.finish, STORE_SECONDS)

    async def close(self, last: Callable[[], None]) -> None:
        """Take nothing more, finish, and do this at the very end, if the store lets us come to it.

        Raises StoreUnavailable.
        """
        await asyncio.get_running_loop().run_in_executor(None, self._close, last)

    def _close(self, last: Callable[[], None]) -> None:
        if self._threads.close(STORE_SECONDS):
            last()
