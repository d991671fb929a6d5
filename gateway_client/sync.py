"""The client for synchronous code: one event loop in one thread per process, reopened after a fork.

with SyncGatewayClient.from_settings() as llm:
    reply = llm.chat(tenant="acme", lane="batch", model="extract-default", messages=[...], max_tokens=400)
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from gateway_client.catalogue import Catalogue
from gateway_client.client import GatewayClient
from gateway_client.errors import ClientClosed
from gateway_client.messages import StreamEvent
from gateway_client.policy import Policy
from gateway_client.records import Completion, Embeddings
from gateway_client.settings import GatewaySettings

T = TypeVar("T")


class LoopThread:
    """An event loop that runs in a daemon thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="gateway-loop", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end and return or raise what it does; an interrupt cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise


_loops: dict[int, LoopThread] = {}
_lock = threading.Lock()


def loop_thread() -> LoopThread:
    """The loop of this process."""
    with _lock:
        found = _loops.get(os.getpid())
        if found is None:
            _loops.clear()
            found = _loops[os.getpid()] = LoopThread()
        return found


def _unlock() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_unlock)


class SyncGatewayClient:
    """`GatewayClient` without `await`. Any thread may call it; after a fork the child opens its own."""

    def __init__(
        self, settings: GatewaySettings, catalogue: Catalogue, *, policy: Policy | None = None
    ) -> None:
        self._settings, self._catalogue, self._policy = settings, catalogue, policy
        self._opened: tuple[int, LoopThread, GatewayClient] | None = None
        self._opening = threading.Lock()
        self._closed = False
        os.register_at_fork(after_in_child=self._forked)

    @classmethod
    def from_settings(
        cls,
        settings: GatewaySettings | None = None,
        *,
        policy: Policy | None = None,
        catalogue: Catalogue | None = None,
    ) -> Self:
        """The client of the environment's settings. Raises InvalidCatalogue."""
        made = GatewayClient.from_settings(settings, policy=policy, catalogue=catalogue)
        return cls(made.settings, made.catalogue, policy=policy)

    def _forked(self) -> None:
        self._opening = threading.Lock()

    def _client(self) -> tuple[LoopThread, GatewayClient]:
        with self._opening:
            if self._closed:
                raise ClientClosed("the gateway client is closed: open another")
            if self._opened is None or self._opened[0] != os.getpid():
                thread = loop_thread()
                client = GatewayClient(self._settings, self._catalogue, policy=self._policy)
                thread.run(client.open())
                self._opened = os.getpid(), thread, client
            return self._opened[1], self._opened[2]

    def chat(self, **asked: Any) -> Completion:  # noqa: ANN401 - as GatewayClient.chat
        """As `GatewayClient.chat`."""
        thread, client = self._client()
        return thread.run(client.chat(**asked))

    def embed(self, **asked: Any) -> Embeddings:  # noqa: ANN401 - as GatewayClient.embed
        """As `GatewayClient.embed`."""
        thread, client = self._client()
        return thread.run(client.embed(**asked))

    def stream(self, **asked: Any) -> Iterator[StreamEvent]:  # noqa: ANN401 - as GatewayClient.stream
        """As `GatewayClient.stream`, piece by piece; leaving early closes it."""
        thread, client = self._client()
        stream = thread.run(client.stream(**asked))
        try:
            while True:
                try:
                    yield thread.run(_piece(stream))
                except _Over:
                    return
        finally:
            thread.run(stream.close())

    def close(self) -> None:
        """Sign off."""
        with self._opening:
            opened, self._opened, self._closed = self._opened, None, True
        if opened is not None and opened[0] == os.getpid():
            opened[1].run(opened[2].close())

    def __enter__(self) -> Self:
        self._client()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Over(Exception):
    """A stream's end; StopAsyncIteration does not cross threads."""


async def _piece(stream: Any) -> StreamEvent:  # noqa: ANN401 - a Stream
    try:
        found: StreamEvent = await anext(stream)
    except StopAsyncIteration:
        raise _Over from None
    return found
