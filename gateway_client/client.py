"""The asynchronous client: opened for an event loop, asked, and closed."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

import httpx

from gateway_client import forks
from gateway_client.call import Means, Task
from gateway_client.catalogue import Catalogue
from gateway_client.errors import ClientClosed
from gateway_client.exchange.terms import Exchange
from gateway_client.idempotency import claim
from gateway_client.ledger.ledger import Ledger
from gateway_client.options import ChatOptions, EmbedOptions, StreamOptions, takes
from gateway_client.placing import Placing
from gateway_client.policy import AnyTenant, Policy
from gateway_client.pools.from_catalogue import declared_pools, monthly_caps
from gateway_client.records import Completion, Embeddings
from gateway_client.retry_loop import run
from gateway_client.settings import GatewaySettings, gateway_settings
from gateway_client.store.opening import open_database
from gateway_client.streaming import Stream


class GatewayClient:
    """The one way to call a model provider. Open it with `async with`; it belongs to that event loop and process."""

    def __init__(
        self,
        settings: GatewaySettings,
        catalogue: Catalogue,
        *,
        policy: Policy | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        seed: int | None = None,
    ) -> None:
        self.settings = settings
        self.catalogue = catalogue
        self._placing = Placing(settings, catalogue, policy or AnyTenant())
        self._transport = transport
        self._random = random.Random(seed)  # noqa: S311 - jitter, no secret
        self._tasks: set[asyncio.Task[Any]] = set()
        self._means: Means | None = None
        self._pid = os.getpid()

    @classmethod
    def from_settings(
        cls,
        settings: GatewaySettings | None = None,
        *,
        policy: Policy | None = None,
        catalogue: Catalogue | None = None,
    ) -> Self:
        """The client of the environment's settings. Raises InvalidCatalogue."""
        found = settings or gateway_settings()
        return cls(found, catalogue or Catalogue.load(found.catalogue), policy=policy)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Sign on to the store. Raises StoreUnavailable."""
        loop = asyncio.get_running_loop()
        opening = lambda: open_database(self.settings.store, durable=self.settings.durable)  # noqa: E731
        ledger = Ledger(await loop.run_in_executor(None, opening))
        try:
            await ledger.open(declared_pools(self.catalogue), monthly_caps(self.catalogue))
        except BaseException:
            await ledger.close()
            raise
        forks.watch(ledger)
        http = httpx.AsyncClient(
            transport=self._transport,
            timeout=httpx.Timeout(None, connect=self.settings.connect_seconds),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=200, keepalive_expiry=30),
            follow_redirects=False,
        )
        self._means = Means(ledger, http, self.settings, self._spawn, self._drain, self._random)

    async def close(self) -> None:
        """Wait a little for what is on its way, then sign off."""
        if self._means is None:
            return
        means, self._means = self._means, None
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=self.settings.drain_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await means.http.aclose()
        await means.ledger.close()

    @property
    def ledger(self) -> Ledger:
        """The ledger of this open client. Raises ClientClosed."""
        return self._opened().ledger

    @takes(ChatOptions)
    async def chat(self, options: ChatOptions) -> Completion:
        """A complete answer, or an error: a truncated one is never a success. Raises GatewayError."""
        call = await self._placing.call(self._opened(), options)
        return Completion.of(await claim(call, options.on_unknown) or await run(call))

    @takes(EmbedOptions)
    async def embed(self, options: EmbedOptions) -> Embeddings:
        """One vector per text, of float32 numbers. Raises GatewayError."""
        call = await self._placing.call(self._opened(), options)
        return Embeddings.of(await claim(call, options.on_unknown) or await run(call))

    @takes(StreamOptions)
    async def stream(self, options: StreamOptions) -> Stream:
        """The answer as it arrives: iterate over it, then `completion` is the whole.

        Once a piece was handed out, a failure is raised by the iteration and nobody else is asked; with `buffer`
        pieces are handed out when the answer is complete, so that another model may still answer. An answer that
        was stored under the idempotency key is handed out again, without the rhythm that it once had. Raises
        GatewayError.
        """
        stream = Stream(buffer=options.buffer)
        call = await self._placing.call(self._opened(), options, stream.put)
        call.buffered = options.buffer
        stored = await claim(call, options.on_unknown)
        if stored is None:
            stream.start(call)
        else:
            stream.replay(stored)
        return stream

    def _opened(self) -> Means:
        if os.getpid() != self._pid:
            raise ClientClosed("the gateway client was opened before a fork: open one in this process")
        if self._means is None:
            raise ClientClosed("the gateway client is not open: use `async with`")
        return self._means

    def _spawn(self, work: Coroutine[Any, Any, Exchange]) -> Task:
        if self._means is None:
            work.close()
            raise ClientClosed(
                "the gateway client was closed before the call was sent: nothing is being sent"
            )
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: Task) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # it was told to whoever waited; nobody may have

    def _drain(self, task: Task) -> None:
        """An answer whose caller is gone: its usage is worth waiting for, for a while."""
        timer = asyncio.get_running_loop().call_later(self.settings.drain_seconds, task.cancel)
        task.add_done_callback(lambda _: timer.cancel())
