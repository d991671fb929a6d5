"""One attempt on the wire: sent, read, and named for what it means."""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx

from gateway_client.crash_points import crash_point
from gateway_client.errors import ProviderError
from gateway_client.exchange.meaning import Meaning
from gateway_client.exchange.progress import Progress
from gateway_client.exchange.reading import Reading
from gateway_client.exchange.sending import Gate, Sending
from gateway_client.exchange.terms import Emit, Exchange, Limits, Request
from gateway_client.messages import EmbeddingRequest
from gateway_client.model import ModelSpec
from gateway_client.providers.provider import provider_of
from gateway_client.records import AnyReply


@dataclass(slots=True)
class Wire:
    """One attempt on its way. `gate` waits, for as long as nothing may be sent, and returns the seconds it took."""

    http: httpx.AsyncClient
    model: ModelSpec
    request: Request
    built: httpx.Request
    limits: Limits
    gate: Gate
    until: float
    emit: Emit | None = None
    progress: Progress = field(default_factory=Progress)

    async def run(self) -> Exchange:
        """Send, read, and classify. Raises nothing but CancelledError."""
        crash_point("gateway.send.before")
        meaning = Meaning(self.model, self.progress)
        try:
            exchange = await self._run(meaning)
        except Exception as error:
            exchange = meaning.interrupted(error)
        crash_point("gateway.send.after")
        return exchange

    async def _run(self, meaning: Meaning) -> Exchange:
        first = self.limits.whole if self.emit is None else self.limits.first_token
        sending = Sending(self.http, self.built, self.progress, meaning.of_provider, self.gate, self.until)
        response = await sending.head(min(first, self.limits.whole))
        reading = Reading(response, self.limits, self.progress, meaning.of_provider)
        try:
            if response.status_code != 200:
                return meaning.refused(response, await _told(reading))
            return meaning.answered(response, await self._reply(reading))
        finally:
            await response.aclose()

    async def _reply(self, reading: Reading) -> AnyReply:
        provider = provider_of(self.model)
        if self.emit is not None:
            return await reading.stream(provider, self.emit)
        found = await reading.whole()
        self.progress.token()
        if isinstance(self.request, EmbeddingRequest):
            return provider.parse_embedding(found)
        return provider.parse(found)


async def _told(reading: Reading) -> bytes:
    """What an error says, if it can be read: its status and headers have said enough."""
    try:
        return (await reading.whole()).content
    except (httpx.HTTPError, ProviderError, OSError, ValueError):
        return b""
