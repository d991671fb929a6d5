"""The client for synchronous code: one event loop in one thread per process, reopened after a fork.

with SyncGatewayClient.from_settings() as llm:
    reply = llm.chat(tenant="acme", lane="batch", model="extract-default", messages=[...], max_tokens=400)
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Generator, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from gateway_client.catalogue import Catalogue
from gateway_client.client import GatewayClient
from gateway_client.errors import ClientClosed
from gateway_client.messages import StreamEvent
from gateway_client.options import ChatOptions, EmbedOptions, StreamOptions, takes
from gateway_client.policy import Policy
from gateway_client.records import Completion, Embeddings
from gateway_client.settings import GatewaySettings
from gateway_client.streaming import Stream

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

    @takes(ChatOptions)
    def chat(self, options: ChatOptions) -> Completion:
        """As `GatewayClient.chat`."""
        thread, client = self._client()
        return thread.run(client.chat(**vars(options)))

    @takes(EmbedOptions)
    def embed(self, options: EmbedOptions) -> Embeddings:
        """As `GatewayClient.embed`."""
        thread, client = self._client()
        return thread.run(client.embed(**vars(options)))

    @takes(StreamOptions)
    def stream(self, options: StreamOptions) -> SyncStream:
        """As `GatewayClient.stream`, piece by piece; leaving early closes it."""
        thread, client = self._client()
        return SyncStream(thread, thread.run(client.stream(**vars(options))))

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


class SyncStream:
    """A `Stream` without `await`. One that is let go before its end closes itself."""

    def __init__(self, thread: LoopThread, stream: Stream) -> None:
        self._thread, self._stream = thread, stream
        self._pieces = _pieces(thread, stream)

    def __iter__(self) -> Iterator[StreamEvent]:
        return self._pieces

    def __next__(self) -> StreamEvent:
        return next(self._pieces)

    def text(self) -> str:
        """Read it all; the text of the whole answer."""
        for _ in self._pieces:
            pass
        return self.completion.text

    @property
    def completion(self) -> Completion:
        """As `Stream.completion`."""
        return self._stream.completion

    def close(self) -> None:
        """Stop reading."""
        self._thread.run(self._stream.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _pieces(thread: LoopThread, stream: Stream) -> Generator[StreamEvent, None, None]:
    try:
        while (event := thread.run(_next(stream))) is not None:
            yield event
    finally:
        thread.run(stream.close())


async def _next(stream: Stream) -> StreamEvent | None:
    """The next piece, or None at the end: StopAsyncIteration does not cross threads."""
    return await anext(stream, None)
