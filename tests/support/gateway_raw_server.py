"""A server that sends raw bytes, one script for all of its requests, and the bytes that providers send."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

OPENAI_VERSION, ANTHROPIC_VERSION = "o-2026-01-01", "a-20260101"
FALLBACK_VERSION = "b-2026-01-01"
USAGE = {"prompt_tokens": 20, "completion_tokens": 3, "total_tokens": 23}
DROP = object()  # a field of this value is left out

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: its number from 1 on, its path, its body, when it came and on which connection (from 1 on)."""

    number: int
    path: str
    body: Json
    at: float
    connection: int

    @property
    def prompt(self) -> str:
        """The text of its last message, whatever the wire format."""
        content = self.body["messages"][-1]["content"]
        return content if isinstance(content, str) else "".join(part["text"] for part in content)


# Writes what it wants; true: the connection is kept for the next request.
Script = Callable[[Asked, asyncio.StreamWriter], Awaitable[Any]]


@dataclass
class RawServer:
    """Listens while the block lasts, on a port of its own. Not of HTTP, it answers whatever bytes come first."""

    script: Script
    of_http: bool = True
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    _connections: int = 0
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**24)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._connections += 1
        try:
            await self._answer_all(reader, writer, self._connections)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client left, or the test is over
        finally:
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _answer_all(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int
    ) -> None:
        if not self.of_http:
            await reader.read(5_000)
            self.asked.append(Asked(len(self.asked) + 1, "", {}, time.monotonic(), connection))
            await self.script(self.asked[-1], writer)
        kept: Any = self.of_http
        while kept:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            told = [line.partition(":") for line in head.lower().split("\r\n")]
            length = next((int(value) for name, _, value in told if name == "content-length"), 0)
            body = json.loads(await reader.readexactly(length) or b"{}")
            path = head.split(" ")[1]
            self.asked.append(Asked(len(self.asked) + 1, path, body, time.monotonic(), connection))
            kept = await self.script(self.asked[-1], writer)
            await writer.drain()


def say(*answers: bytes) -> Script:
    """These bytes, one answer per request, the last again and again; then the connection closes."""

    async def script(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(answers[min(asked.number, len(answers)) - 1])

    return script


# -- what providers send


def http(body: Json | bytes = b"", *headers: str, status: int = 200, length: int | None = None) -> bytes:
    """A response of JSON with its length (or with another: then it is cut)."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    told = [f"HTTP/1.1 {status} X", "content-type: application/json", *headers]
    told.append(f"content-length: {len(sent) if length is None else length}")
    return "\r\n".join(told).encode() + b"\r\n\r\n" + sent


def event_stream(*events: Json | bytes, done: bytes = b"data: [DONE]\n\n") -> bytes:
    """A stream until the end of the connection. Events that have a type are named by it, and end in no `[DONE]`."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    typed = any(isinstance(event, dict) and "type" in event for event in events)
    return head + b"".join(map(event_bytes, events)) + (b"" if typed else done)


def event_bytes(event: Json | bytes) -> bytes:
    """One event; bytes as they are."""
    if isinstance(event, bytes):
        return event
    name = b"event: %s\n" % event["type"].encode() if "type" in event else b""
    return name + b"data: " + json.dumps(event).encode() + b"\n\n"


def completion(content: object = "Hello", finish: str = "stop", usage: object = None, **more: Any) -> Json:
    """A chat completion of OpenAI's; `more` are further fields of its message."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content} | more,
        "finish_reason": finish,
    }
    told = {"id": "x", "object": "chat.completion", "model": OPENAI_VERSION, "choices": [choice]}
    return told | given(usage=USAGE if usage is None else usage)


def chunk(content: object = DROP, finish: str | None = None, **delta: Any) -> Json:
    """A piece of one in a stream."""
    choice = {"index": 0, "delta": given(content=content) | delta, "finish_reason": finish}
    return {"id": "x", "model": OPENAI_VERSION, "choices": [choice]}


def counted(usage: Json | None = None) -> Json:
    """The chunk that carries a stream's usage."""
    return {"id": "x", "model": OPENAI_VERSION, "choices": [], "usage": USAGE if usage is None else usage}


def message(*blocks: Json, stop: str = "end_turn", usage: object = None) -> Json:
    """A message of Anthropic's; a text where no blocks are told."""
    told = {"id": "m", "type": "message", "role": "assistant", "model": ANTHROPIC_VERSION}
    content = list(blocks) or [{"type": "text", "text": "Hello"}]
    counts = {"input_tokens": 20, "output_tokens": 3} if usage is None else usage
    return told | {"content": content, "stop_reason": stop} | given(usage=counts)


def message_start() -> Json:
    """How a stream of Anthropic's begins."""
    first = message(usage={"input_tokens": 20, "output_tokens": 1}) | {"content": [], "stop_reason": None}
    return {"type": "message_start", "message": first}


def block(index: int, start: Json, *deltas: Json) -> list[Json]:
    """A block of a stream: how it starts, its deltas, its stop."""
    pieces = [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
    first = {"type": "content_block_start", "index": index, "content_block": start}
    return [first, *pieces, {"type": "content_block_stop", "index": index}]


def text_block(index: int, *pieces: str) -> list[Json]:
    """A block of text."""
    deltas = [{"type": "text_delta", "text": piece} for piece in pieces]
    return block(index, {"type": "text", "text": ""}, *deltas)


def message_end(stop: str = "end_turn", usage: object = None) -> list[Json]:
    """How a stream of Anthropic's ends."""
    told = {"type": "message_delta", "delta": {"stop_reason": stop}}
    counts = {"output_tokens": 3} if usage is None else usage
    return [told | given(usage=counts), {"type": "message_stop"}]


def given(**fields: object) -> Json:
    """The fields but those that are to be left out."""
    return {name: value for name, value in fields.items() if value is not DROP}
