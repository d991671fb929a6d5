"""An answer as an asynchronous stream: complete at its end, or an error at its end."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from gateway_client.call import Call
from gateway_client.errors import ClientClosed
from gateway_client.exchange import AnyReply
from gateway_client.messages import Reply, StreamEvent
from gateway_client.records import Completion


class Stream:
    """Iterate for the pieces. Leaving early is fine: what was sent is drained in the background and settled."""

    def __init__(self, buffer: bool) -> None:
        self._buffer = buffer
        self._events: asyncio.Queue[StreamEvent | None] = asyncio.Queue()
        self._kept: list[StreamEvent] = []
        self._call: Call | None = None
        self._task: asyncio.Task[AnyReply] | None = None
        self._over = False

    def start(self, call: Call) -> None:
        """Begin the call."""
        self._call = call
        self._task = asyncio.get_running_loop().create_task(self._run(call))

    async def _run(self, call: Call) -> AnyReply:
        try:
            reply = await call.run()
            for event in self._kept if self._buffer else ():
                self._events.put_nowait(event)
            return reply
        finally:
            self._events.put_nowait(None)

    def put(self, event: StreamEvent) -> None:
        """A piece has come."""
        if not self._buffer:
            self._events.put_nowait(event)
            return
        assert self._call is not None
        if self._call.record.sends != self._sends:
            self._kept.clear()  # of an attempt that failed
            self._sends = self._call.record.sends
        self._kept.append(event)

    _sends = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamEvent:
        if self._over or self._task is None:
            raise StopAsyncIteration
        event = await self._events.get()
        if event is not None:
            return event
        self._over = True
        await self._task
        raise StopAsyncIteration

    async def text(self) -> str:
        """Read it all; the text of the whole answer."""
        async for _ in self:
            pass
        return self.completion.text

    @property
    def completion(self) -> Completion:
        """The whole answer, once the iteration has ended. Raises the call's error, or ClientClosed before its end."""
        if self._task is None or self._call is None or not self._task.done():
            raise ClientClosed("the stream has not been read to its end")
        reply = self._task.result()
        assert isinstance(reply, Reply)
        return Completion(reply, self._call.answered_by, self._call.row.id, self._call.record)

    async def close(self) -> None:
        """Stop reading."""
        self._over = True
        if self._task is not None and not self._task.done():
            self._task.cancel()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
