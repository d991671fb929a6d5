"""The request on its way out, until the head of the response is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from gateway_client.errors import MalformedResponse
from gateway_client.exchange.progress import Progress

Gate = Callable[[], Awaitable[float]]
EARLY = "an answer that had come before it was asked: it is not this call's"


@dataclass(slots=True)
class Sending:
    """One request. `gate` waits, for as long as nothing may be sent, and returns the seconds it took.

    `subject`: whose answer it is, for errors. `until`: the loop's time at which the call must be over.
    """

    http: httpx.AsyncClient
    request: httpx.Request
    progress: Progress
    subject: Callable[[str], str]
    gate: Gate
    until: float
    _patience: asyncio.Timeout | None = None
    _listened: bool = False

    async def head(self, seconds: float) -> httpx.Response:
        """The response, its body not yet read. Raises TimeoutError, what HTTPX raises, MalformedResponse."""
        self.request.extensions["trace"] = self._watch
        async with asyncio.timeout(seconds) as self._patience:
            return await self.http.send(self.request, stream=True, follow_redirects=False)

    async def _watch(self, event: str, _details: Mapping[str, Any]) -> None:
        """What the connection is about to do, or has done (HTTPX's `trace` extension)."""
        if event.endswith("send_request_headers.started"):
            await self._wait_at_gate()
            self.progress.sending = True
        elif event.endswith("receive_response_headers.started"):
            self._listened = False
            asyncio.get_running_loop().call_soon(self._listen)
        elif event.endswith("receive_response_headers.complete") and not self._listened:
            # Nothing was read since the request left: it lay there before, behind somebody else's answer.
            raise MalformedResponse(self.subject(EARLY), kind="malformed", status=200)

    def _listen(self) -> None:
        self._listened = True  # the loop has turned: what is read now has come since

    async def _wait_at_gate(self) -> None:
        """The last moment before bytes leave: on a busy loop a gate may have shut since the request was begun.

        Waiting there is no silence of the provider's: it does not count for the limits, but for the call's time.
        """
        assert self._patience is not None
        limit = self._patience.when()
        self.progress.at_gate = True
        self._patience.reschedule(self.until)
        waited = await self.gate()
        self.progress.at_gate = False
        self.progress.started += waited
        self._patience.reschedule(None if limit is None else min(limit + waited, self.until))
