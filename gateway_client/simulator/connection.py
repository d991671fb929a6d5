"""One HTTP exchange, down to the socket: a simulated provider must be able to break off, which ASGI cannot."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Awaitable, Callable, MutableMapping
from email.utils import formatdate
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway_client.simulator.steps import Begin, Cut, Reset, Send, Step, Wait

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
SendMessage = Callable[[Message], Awaitable[None]]
LARGEST_REQUEST = 64 * 1024 * 1024
TRANSPORT = "holdfast.transport"
_LINGER_NOT = struct.pack("ii", 1, 0)  # close sends RST (socket(7), SO_LINGER)


class TransportInScope(HttpToolsProtocol):
    """Uvicorn's protocol, which also hands the application its socket."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: {"transport": self.transport}}


class ClientLeft(Exception):
    """The client closed the connection."""


class Connection:
    """What the server does with one exchange, and what came of it: times are seconds since the start."""

    def __init__(self, scope: Message, receive: Receive, send: SendMessage) -> None:
        self._transport: asyncio.Transport = scope["extensions"][TRANSPORT]["transport"]
        self._receive = receive
        self._send = send
        self._started = time.perf_counter()
        self._watcher: asyncio.Task[Message] | None = None
        self._broken_off = False
        self.first_byte: float | None = None
        self.status: int | None = None
        self.sent_tokens = 0

    def elapsed(self) -> float:
        """Seconds since the request's first line."""
        return time.perf_counter() - self._started

    async def body(self) -> bytes:
        """The request's body. Raises ClientLeft if it never comes, or does not end."""
        pieces, size, more = [], 0, True
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                raise ClientLeft
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > LARGEST_REQUEST:
                self._transport.abort()
                raise ClientLeft
            more = message.get("more_body", False)
        return b"".join(pieces)

    async def perform(self, steps: tuple[Step, ...]) -> None:
        """Take the steps. Raises ClientLeft if the client did not stay to the end."""
        try:
            for step in steps:
                match step:
                    case Wait(seconds):
                        await self._wait(seconds)
                    case Begin():
                        await self._begin(step)
                    case Send():
                        await self._send_body(step)
                    case Cut():
                        self._transport.close()
                        self._broken_off = True
                        return
                    case Reset():
                        self._reset()
                        self._broken_off = True
                        return
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await self._stop_watching()

    async def _begin(self, begin: Begin) -> None:
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in begin.headers]
        if begin.whole is not None:
            headers.append((b"content-length", str(begin.whole).encode()))
        headers.append((b"date", formatdate(time.time(), usegmt=True).encode()))
        self.status = begin.status
        await self._send({"type": "http.response.start", "status": begin.status, "headers": headers})

    async def _send_body(self, step: Send) -> None:
        for _ in range(step.times):
            await self._wait(step.every)
            if self.first_byte is None:
                self.first_byte = self.elapsed()
            if self._transport.is_closing():
                raise ClientLeft
            await self._send({"type": "http.response.body", "body": step.data, "more_body": True})
        self.sent_tokens += step.tokens

    async def _wait(self, seconds: float) -> None:
        if seconds <= 0:
            return
        if self._watcher is None:
            self._watcher = asyncio.ensure_future(self._receive())
        done, _ = await asyncio.wait({self._watcher}, timeout=seconds)
        if done:
            raise ClientLeft

    async def gone(self) -> None:
        """After breaking off, until the connection is down: returning earlier, uvicorn would call the answer
        unfinished."""
        if self._broken_off:
            with contextlib.suppress(ClientLeft):
                await self._wait(5.0)
            await self._stop_watching()

    async def _stop_watching(self) -> None:
        if self._watcher is not None and not self._watcher.done():
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher

    def _reset(self) -> None:
        raw = self._transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self._transport.abort()
