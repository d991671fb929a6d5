"""What came back, or did not, means something for the ledger, for the pool and for the call."""

from __future__ import annotations

import re
import ssl
import time
from dataclasses import dataclass

import httpx

from gateway_client.errors import (
    GatewayError,
    MalformedResponse,
    ProviderError,
    Silent,
    Truncated,
    Unreachable,
    VersionMismatch,
)
from gateway_client.exchange.progress import Progress
from gateway_client.exchange.terms import Exchange
from gateway_client.ledger.entries import Effect, Settlement
from gateway_client.model import ModelSpec
from gateway_client.providers.failure import FailureKind
from gateway_client.providers.provider import provider_of
from gateway_client.providers.rate_limits import RateLimits
from gateway_client.records import AnyReply

NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
# Capacity, not illness: the slot is given back, the hold stays, and the attempt queues again.
CAPACITY = (FailureKind.RATE_LIMITED,)
# Below HTTPX errors quote what was received, which may be an answer.
_QUOTED = re.compile(r"(bytearray\()?b?['\"].*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Meaning:
    """Names how an attempt at a model ended."""

    model: ModelSpec
    progress: Progress

    def answered(self, response: httpx.Response, reply: AnyReply) -> Exchange:
        """An answer: charged by the usage that it names, if it names one."""
        limits = told_limits(provider_of(self.model).rate_limits(response.headers))
        effect = Effect("answered", self.progress.seconds(), None, limits)
        identifier = reply.provider_request_id or ""
        try:
            self.model.verify(reply.model_reported)
            error: GatewayError | None = None
        except VersionMismatch as mismatch:
            error = mismatch
        if reply.usage is None:
            settlement = Settlement("unknown", effect, "no_usage", provider_request=identifier)
        else:
            cost = self.model.cost(reply.usage)
            settlement = Settlement("settled", effect, "ok", reply.usage, cost, identifier)
        return Exchange(settlement, reply, error, first_token=self.progress.first_token)

    def refused(self, response: httpx.Response, body: bytes) -> Exchange:
        """A status that is not 200."""
        provider, headers = provider_of(self.model), response.headers
        if key := self.model.key().encode():  # some servers say which key was wrong
            body = body.replace(key, "…".encode())
        found = provider.failure(response.status_code, headers, body)
        limits = told_limits(provider.rate_limits(headers))
        wait = provider.retry_after(headers, time.time())
        effect = Effect(_effect_of(found.kind), self.progress.seconds(), wait, limits)
        state, identifier = "released" if found.free else "unknown", headers.get("x-request-id", "")
        settlement = Settlement(state, effect, found.kind.value, provider_request=identifier)
        return self._failed(settlement, found.kind, found.error(), rejected=found.kind in CAPACITY)

    def interrupted(self, error: Exception) -> Exchange:
        """Whatever was raised while it was sent or read."""
        if isinstance(error, NOT_SENT):
            return self._unreachable(error)
        if isinstance(error, TimeoutError):  # an OSError, too
            return self._too_late(error)
        if isinstance(error, (httpx.HTTPError, httpx.InvalidURL, OSError)):
            told = self.of_provider(f"the connection broke ({_named(error)})")
            return self._lost(Truncated(told, kind="reset"))
        if isinstance(error, ProviderError):
            return self._broken(error)
        # Whatever a provider may send. The error's words may be the answer's, its class is not.
        told = self.of_provider(f"an answer that cannot be read ({type(error).__name__})")
        return self._lost(MalformedResponse(told, kind="malformed"))

    def of_provider(self, what: str) -> str:
        """A sentence about who gave what."""
        return f"{self.model.provider} gave {self.model.name!r} {what}"

    def _broken(self, error: ProviderError) -> Exchange:
        """What broke while it was read: an answer of no wire format, or an error within a stream."""
        kind = FailureKind(error.kind) if error.kind in set(FailureKind) else FailureKind.MALFORMED
        if key := self.model.key():
            error.args = (str(error).replace(key, "…"),)
        effect = Effect(_effect_of(kind), self.progress.seconds())
        return self._failed(Settlement("unknown", effect, kind.value), kind, error)

    def _failed(
        self, settlement: Settlement, kind: FailureKind, error: GatewayError, *, rejected: bool = False
    ) -> Exchange:
        return Exchange(
            settlement,
            error=error,
            rejected=rejected,
            transient=kind.retryable,
            elsewhere=kind is FailureKind.CONTEXT_OVERFLOW,
            first_token=self.progress.first_token,
        )

    def _lost(self, error: GatewayError) -> Exchange:
        """Something was sent, and nothing is known of its end: charged at its maximum."""
        outcome = getattr(error, "kind", "") or type(error).__name__.lower()
        settlement = Settlement("unknown", Effect("failed", self.progress.seconds()), outcome)
        return Exchange(settlement, error=error, transient=True, first_token=self.progress.first_token)

    def _unreachable(self, error: Exception) -> Exchange:
        certificate = _is_certificate(error)
        told = "its TLS certificate does not hold" if certificate else f"no connection ({_named(error)})"
        settlement = Settlement("released", Effect("failed", self.progress.seconds()), "unreachable")
        return Exchange(
            settlement,
            error=Unreachable(self.of_provider(told), kind="unreachable"),
            transient=not certificate,
            elsewhere=certificate,
        )

    def _too_late(self, error: TimeoutError) -> Exchange:
        if self.progress.at_gate:
            return self._not_sent()
        if not self.progress.sending:
            return self._unreachable(error)
        return self._lost(Silent(self.of_provider("no answer, or none for too long, within its limit")))

    def _not_sent(self) -> Exchange:
        """The call's time was up before a gate opened."""
        settlement = Settlement("released", Effect("not_sent"), "gate")
        told = self.of_provider("nothing: its gate was shut for longer than the call had time")
        return Exchange(settlement, error=Unreachable(told, kind="gate"), transient=True)


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
