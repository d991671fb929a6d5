"""An answer as an asynchronous stream: complete at its end, or an error at its end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from gateway_client.call import Call
from gateway_client.errors import ClientClosed
from gateway_client.messages import StreamEvent
from gateway_client.records import Answered, Completion
from gateway_client.retry_loop import run


class Stream:
    """Iterate for the pieces. Leaving early is fine: what was sent is drained in the background and settled."""

    def __init__(self, *, buffer: bool) -> None:
        self._buffer = buffer
        self._events: asyncio.Queue[StreamEvent | None] = asyncio.Queue()
        self._kept: list[StreamEvent] = []
        self._sends = 0
        self._call: Call | None = None
        self._task: asyncio.Task[Answered] | None = None
        self._stored: Answered | None = None
        self._over = False

    def start(self, call: Call) -> None:
        """Begin the call."""
        self._call = call
        self._task = asyncio.get_running_loop().create_task(self._run(call))
        self._task.add_done_callback(self._ended)

    def replay(self, stored: Answered) -> None:
        """Hand out an answer that was bought before."""
        self._stored = stored
        for event in pieces_of(Completion.of(stored)):
            self._events.put_nowait(event)
        self._events.put_nowait(None)

    async def _run(self, call: Call) -> Answered:
        found = await run(call)
        for event in self._kept if self._buffer else ():
            self._events.put_nowait(event)
        return found

    def _ended(self, task: asyncio.Task[Answered]) -> None:
        self._events.put_nowait(None)
        if not task.cancelled():
            task.exception()  # it is told to whoever reads on; nobody may, and the call's row has it
        if self._call is not None and not self._call.begun:
            self._call.fail_later("cancelled")  # a task that is cancelled before its first step runs nothing

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

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamEvent:
        if self._over:
            raise StopAsyncIteration
        event = await self._events.get()
        if event is not None:
            return event
        self._over = True
        if self._task is not None:
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
        if self._stored is not None:
            return Completion.of(self._stored)
        if self._task is None or not self._task.done() or self._task.cancelled():
            raise ClientClosed("the stream has not been read to its end")
        return Completion.of(self._task.result())

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


def pieces_of(answer: Completion) -> Iterator[StreamEvent]:
    """A whole answer as a stream would give it: its text in one piece, then each tool call in one."""
    if answer.text:
        yield StreamEvent(text=answer.text)
    for index, call in enumerate(answer.tool_calls):
        yield StreamEvent(tool_call=(index, call))
