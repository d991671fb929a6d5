"""A response's body, with a limit on every wait and on its size."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import httpx

from gateway_client.errors import MalformedResponse
from gateway_client.exchange.progress import Progress
from gateway_client.exchange.terms import Emit, Limits
from gateway_client.messages import Reply
from gateway_client.providers.provider import Provider

GRACE = 0.05


@dataclass(slots=True)
class Reading:
    """The body of one response. `subject`: whose answer it is, for errors."""

    response: httpx.Response
    limits: Limits
    progress: Progress
    subject: Callable[[str], str]

    async def whole(self) -> httpx.Response:
        """The response with its body read. Raises TimeoutError, what HTTPX raises, MalformedResponse."""
        parts = [chunk async for chunk in self._chunks("an answer")]
        dropped = (b"content-encoding", b"content-length")
        response = self.response
        headers = [(k, v) for k, v in response.headers.raw if k.lower() not in dropped]
        return httpx.Response(
            response.status_code, headers=headers, content=b"".join(parts), request=response.request
        )

    async def stream(self, provider: Provider, emit: Emit) -> Reply:
        """The reply that its events come to, each told as it comes. Raises as `whole`, and ProviderError."""
        if self.response.headers.get("content-type", "").lower().startswith("application/json"):
            provider.parse(await self.whole())  # an error is raised as what it is
        parser = provider.stream_parser(self.response.headers)
        patience = self.limits.first_token - self.progress.seconds()
        async for chunk in self._chunks("a stream", first=max(0.01, patience)):
            thoughts = parser.thoughts
            for event in parser.feed(chunk):
                self.progress.token()
                emit(event)
            if parser.thoughts > thoughts:
                self.progress.lives()
            if parser.finished:
                break
        return parser.close()

    async def _chunks(self, what: str, first: float | None = None) -> AsyncIterator[bytes]:
        """Piece after piece. Until the first token, the limit is on the time until that."""
        loop, size = asyncio.get_running_loop(), 0
        over = loop.time() + self.limits.whole - self.progress.seconds()
        first_by = None if first is None else loop.time() + first
        chunks = self.response.aiter_bytes()
        while True:
            # A loop that lags must not take what has arrived already for silence.
            until = max(self._patient_until(first_by), loop.time() + GRACE)
            try:
                async with asyncio.timeout_at(min(until, over)):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            size += len(chunk)
            if size > self.limits.most_bytes:
                raise MalformedResponse(self.subject(f"{what} of more than {self.limits.most_bytes} bytes"))
            yield chunk

    def _patient_until(self, first_by: float | None) -> float:
        """Signs of life that carry no token are none: the loop's time at which silence has lasted too long."""
        if first_by is None:
            return asyncio.get_running_loop().time() + self.limits.stall
        return first_by if self.progress.life is None else self.progress.life + self.limits.stall
