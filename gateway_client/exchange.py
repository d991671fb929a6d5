"""One attempt on the wire: what was sent, what came back, and what it means for the ledger and for the call."""

from __future__ import annotations

import asyncio
import math
import re
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from gateway_client.crash_points import crash_point
from gateway_client.errors import (
    GatewayError,
    MalformedResponse,
    ProviderError,
    Silent,
    Truncated,
    Unreachable,
    VersionMismatch,
)
from gateway_client.ledger.entries import Effect, Settlement
from gateway_client.messages import ChatRequest, EmbeddingReply, EmbeddingRequest, Reply, StreamEvent
from gateway_client.model import ModelSpec
from gateway_client.providers.failure import FailureKind, ProviderFailure
from gateway_client.providers.provider import Provider, provider_of
from gateway_client.providers.rate_limits import RateLimits

Request = ChatRequest | EmbeddingRequest
AnyReply = Reply | EmbeddingReply
Emit = Callable[[StreamEvent], None]
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
# Capacity, not illness: the slot is given back, the hold stays, and the attempt queues again.
CAPACITY = (FailureKind.RATE_LIMITED,)
GRACE = 0.05
# Below HTTPX errors quote what was received, which may be an answer.
_QUOTED = re.compile(r"(bytearray\()?b?['\"].*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long, and how large. Seconds, but for `most_bytes`."""

    whole: float
    first_token: float
    stall: float
    most_bytes: int


@dataclass(frozen=True, slots=True)
class Exchange:
    """How an attempt ended. Either `reply` or `error`; `rejected` means that nothing is to be settled yet.

    `transient`: the same request may succeed later, here or elsewhere. `elsewhere`: only another model can help.
    """

    settlement: Settlement
    reply: AnyReply | None = None
    error: GatewayError | None = None
    rejected: bool = False
    transient: bool = False
    elsewhere: bool = False
    first_token: float | None = None


@dataclass(slots=True)
class Wire:
    """One attempt on its way. `gate` waits, for as long as nothing may be sent, and returns the seconds it took."""

    http: httpx.AsyncClient
    model: ModelSpec
    request: Request
    built: httpx.Request
    limits: Limits
    emit: Emit | None = None
    gate: Callable[[], Awaitable[float]] | None = None
    until: float = math.inf
    started: float = field(default_factory=time.monotonic)
    first_token: float | None = None
    last_token: float | None = None
    at_gate: bool = False
    sending: bool = False
    _patience: asyncio.Timeout | None = None
    _listened: bool = False

    async def run(self) -> Exchange:
        """Send, read, and classify. Raises nothing but CancelledError."""
        crash_point("gateway.send.before")
        try:
            exchange = await self._run()
        except NOT_SENT as error:
            exchange = self._unreachable(error)
        except TimeoutError as error:  # an OSError, too
            exchange = self._too_late(error)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            exchange = self._lost(
                Truncated(self._told(f"the connection broke ({_named(error)})"), kind="reset")
            )
        except ProviderError as error:
            exchange = self._broken(error)
        except Exception as error:
            # Whatever a provider may send. The error's words may be the answer's, its class is not.
            told = self._told(f"an answer that cannot be read ({type(error).__name__})")
            exchange = self._lost(MalformedResponse(told, kind="malformed"))
        crash_point("gateway.send.after")
        return exchange

    async def _run(self) -> Exchange:
        provider = provider_of(self.model)
        response = await self._head()
        try:
            if response.status_code != 200:
                return await self._refused(provider, response)
            if self.emit is None:
                reply = await self._whole(provider, response)
            else:
                reply = await self._stream(provider, response)
            return self._answered(provider, response, reply)
        finally:
            await response.aclose()

    async def _head(self) -> httpx.Response:
        streams = self.emit is not None
        limit = self.limits.first_token if streams else self.limits.whole
        self.built.extensions["trace"] = self._watch
        async with asyncio.timeout(min(limit, self.limits.whole)) as self._patience:
            return await self.http.send(self.built, stream=True, follow_redirects=False)

    async def _watch(self, event: str, _details: Mapping[str, Any]) -> None:
        """What the connection is about to do, or has done (HTTPX's `trace` extension)."""
        if event.endswith("send_request_headers.started"):
            if self.gate is not None:
                await self._wait_at(self.gate)
            self.sending = True
        elif event.endswith("receive_response_headers.started"):
            self._listened = False
            asyncio.get_running_loop().call_soon(self._listen)
        elif event.endswith("receive_response_headers.complete") and not self._listened:
            # Nothing was read since the request left: it lay there before, behind somebody else's answer.
            told = self._told("an answer that had come before it was asked: it is not this call's")
            raise MalformedResponse(told, kind="malformed", status=200)

    def _listen(self) -> None:
        self._listened = True  # the loop has turned: what is read now has come since

    async def _wait_at(self, gate: Callable[[], Awaitable[float]]) -> None:
        """The last moment before bytes leave: on a busy loop a gate may have shut since the request was begun.

        Waiting there is no silence of the provider's: it does not count for the limits, but for the call's time.
        """
        assert self._patience is not None
        limit = self._patience.when()
        self.at_gate = True
        self._patience.reschedule(self.until)
        waited = await gate()
        self.at_gate = False
        self.started += waited
        self._patience.reschedule(None if limit is None else min(limit + waited, self.until))

    async def _whole(self, provider: Provider, response: httpx.Response) -> AnyReply:
        found = await self._read(response)
        self.first_token = time.monotonic() - self.started
        if isinstance(self.request, EmbeddingRequest):
            return provider.parse_embedding(found)
        return provider.parse(found)

    async def _read(self, response: httpx.Response) -> httpx.Response:
        """The response with its body read, as far as the limits allow."""
        parts, size = [], 0
        async for chunk in self._chunks(response, self.limits.stall):
            size += len(chunk)
            if size > self.limits.most_bytes:
                raise MalformedResponse(self._told(f"an answer of more than {self.limits.most_bytes} bytes"))
            parts.append(chunk)
        dropped = (b"content-encoding", b"content-length")
        headers = [(k, v) for k, v in response.headers.raw if k.lower() not in dropped]
        return httpx.Response(
            response.status_code, headers=headers, content=b"".join(parts), request=self.built
        )

    async def _stream(self, provider: Provider, response: httpx.Response) -> Reply:
        if response.headers.get("content-type", "").lower().startswith("application/json"):
            provider.parse(await self._read(response))  # an error is raised as what it is
        parser, size = provider.stream_parser(response.headers), 0
        patience = self.limits.first_token - (time.monotonic() - self.started)
        async for chunk in self._chunks(response, self.limits.stall, first=max(0.01, patience)):
            size += len(chunk)
            if size > self.limits.most_bytes:
                raise MalformedResponse(self._told(f"a stream of more than {self.limits.most_bytes} bytes"))
            thoughts = parser.thoughts
            for event in parser.feed(chunk):
                self._pass_on(event)
            if parser.thoughts > thoughts:
                self.last_token = asyncio.get_running_loop().time()
            if parser.finished:
                break
        return parser.close()

    def _pass_on(self, event: StreamEvent) -> None:
        self.last_token = asyncio.get_running_loop().time()
        if self.first_token is None:
            self.first_token = time.monotonic() - self.started
        if self.emit is not None:
            self.emit(event)

    async def _chunks(
        self, response: httpx.Response, stall: float, first: float | None = None
    ) -> AsyncIterator[bytes]:
        """The body, with a limit on every wait. Until the first token, the limit is on the time until that."""
        loop = asyncio.get_running_loop()
        over = loop.time() + self.limits.whole - (time.monotonic() - self.started)
        first_by = None if first is None else loop.time() + first
        chunks = response.aiter_bytes()
        while True:
            if first_by is None:
                until = loop.time() + stall
            else:  # signs of life that carry no token are none
                until = first_by if self.last_token is None else self.last_token + stall
            try:
                # A loop that lags must not take what has arrived already for silence.
                async with asyncio.timeout_at(min(max(until, loop.time() + GRACE), over)):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            yield chunk

    # -- what it means

    def _answered(self, provider: Provider, response: httpx.Response, reply: AnyReply) -> Exchange:
        usage = reply.usage
        effect = Effect(
            "answered", self._seconds(), None, told_limits(provider.rate_limits(response.headers))
        )
        identifier = reply.provider_request_id or ""
        try:
            self.model.verify(reply.model_reported)
            error: GatewayError | None = None
        except VersionMismatch as mismatch:
            error = mismatch
        if usage is None:
            settlement = Settlement("unknown", effect, "no_usage", provider_request=identifier)
        else:
            cost = self.model.cost(usage)
            settlement = Settlement("settled", effect, "ok", usage, cost, identifier)
        return Exchange(settlement, reply, error, first_token=self.first_token)

    async def _refused(self, provider: Provider, response: httpx.Response) -> Exchange:
        try:
            body = (await self._read(response)).content
        except (httpx.HTTPError, ProviderError, OSError, ValueError):
            body = b""  # status and headers have said enough
        if key := self.model.key().encode():  # some servers say which key was wrong
            body = body.replace(key, "…".encode())
        found = provider.failure(response.status_code, response.headers, body)
        limits = told_limits(provider.rate_limits(response.headers))
        wait = provider.retry_after(response.headers, time.time())
        return self._failed(found, limits, wait, response.headers.get("x-request-id", ""))

    def _failed(
        self,
        found: ProviderFailure,
        limits: dict[str, tuple[int, int, float]],
        wait: float | None,
        request: str,
    ) -> Exchange:
        effect = Effect(_effect_of(found.kind), self._seconds(), wait, limits)
        state = "released" if found.free else "unknown"
        return Exchange(
            Settlement(state, effect, found.kind.value, provider_request=request),
            error=found.error(),
            rejected=found.kind in CAPACITY,
            transient=found.kind.retryable,
            elsewhere=found.kind is FailureKind.CONTEXT_OVERFLOW,
            first_token=self.first_token,
        )

    def _broken(self, error: ProviderError) -> Exchange:
        """What broke while it was read: an answer of no wire format, or an error within a stream."""
        kind = FailureKind(error.kind) if error.kind in set(FailureKind) else FailureKind.MALFORMED
        if key := self.model.key():
            error.args = (str(error).replace(key, "…"),)
        settlement = Settlement("unknown", Effect(_effect_of(kind), self._seconds()), kind.value)
        return Exchange(
            settlement,
            error=error,
            transient=kind.retryable,
            elsewhere=kind is FailureKind.CONTEXT_OVERFLOW,
            first_token=self.first_token,
        )

    def _lost(self, error: GatewayError) -> Exchange:
        """Something was sent, and nothing is known of its end: charged at its maximum."""
        outcome = getattr(error, "kind", "") or type(error).__name__.lower()
        settlement = Settlement("unknown", Effect("failed", self._seconds()), outcome)
        return Exchange(settlement, error=error, transient=True, first_token=self.first_token)

    def _unreachable(self, error: Exception) -> Exchange:
        certificate = _is_certificate(error)
        told = "its TLS certificate does not hold" if certificate else f"no connection ({_named(error)})"
        settlement = Settlement("released", Effect("failed", self._seconds()), "unreachable")
        return Exchange(
            settlement,
            error=Unreachable(self._told(told), kind="unreachable"),
            transient=not certificate,
            elsewhere=certificate,
        )

    def _too_late(self, error: TimeoutError) -> Exchange:
        if self.at_gate:
            return self._not_sent()
        if not self.sending:
            return self._unreachable(error)
        return self._lost(Silent(self._told("no answer, or none for too long, within its limit")))

    def _not_sent(self) -> Exchange:
        """The call's time was up before a gate opened."""
        settlement = Settlement("released", Effect("not_sent"), "gate")
        error = Unreachable(
            self._told("nothing: its gate was shut for longer than the call had time"), kind="gate"
        )
        return Exchange(settlement, error=error, transient=True)

    def _seconds(self) -> float:
        return time.monotonic() - self.started

    def _told(self, what: str) -> str:
        return f"{self.model.provider} gave {self.model.name!r} {what}"


def _effect_of(kind: FailureKind) -> str:
    if kind is FailureKind.RATE_LIMITED:
        return "rejected"
    return "failed" if kind.trips_breaker else "not_sent"


def _named(error: BaseException) -> str:
    told = _QUOTED.sub("…", str(error))
    return f"{type(error).__name__}: {told}"[:200] if told else type(error).__name__


def _is_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def told_limits(found: RateLimits) -> dict[str, tuple[int, int, float]]:
    """Limits that were told in full: {name: (limit, remaining, seconds until reset)}."""
    each = {name: getattr(found, name) for name in ("requests", "tokens", "input_tokens", "output_tokens")}
    return {
        name: (one.limit, one.remaining, one.reset_seconds)
        for name, one in each.items()
        if one.limit is not None and one.remaining is not None and one.reset_seconds is not None
    }
