"""What a simulated provider knows of its traffic: who is in flight, who came before, whose turn it is to be refused."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from email.utils import formatdate

from gateway_client.simulator.asked import Asked
from gateway_client.simulator.chance import draw
from gateway_client.simulator.faults import FaultSpec
from gateway_client.simulator.settings import Limits, Rejection, Rule, Settings

MINUTE = 60.0
Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a request is answered 429 at once, and when it may come back."""

    why: str  # capacity, pattern or limit
    retry_after: float | None = None


@dataclass(slots=True)
class Traffic:
    """The counters. Everything runs on one event loop, so no lock is needed."""

    settings: Settings
    in_flight: int = 0
    arrivals: Counter[str] = field(default_factory=Counter)
    judged: Counter[str] = field(default_factory=Counter)
    _in_order: int = 0
    _rules: Counter[int] = field(default_factory=Counter)
    _minute: int = 0
    _requests: int = 0
    _tokens: int = 0

    def refusal(self, asked: Asked, request_id: str) -> Refused | None:
        """Whether this one is refused, by capacity first: its fate by pattern does not hang on who was there."""
        reject = self.settings.reject
        if self.settings.capacity is not None and self.in_flight > self.settings.capacity:
            return Refused("capacity", reject.capacity_retry_after)
        over = self._over_limits(asked)
        if over is not None:
            return over
        self.judged[request_id] += 1
        if self._by_pattern(reject, request_id):
            return Refused("pattern", reject.retry_after)
        return None

    def _by_pattern(self, reject: Rejection, request_id: str) -> bool:
        self._in_order += 1
        seed, attempt = self.settings.seed, self.judged[request_id]
        match reject.pattern:
            case "every":
                return self._in_order % reject.n == 0
            case "hash":
                return draw(seed, "reject", request_id, attempt) < reject.share
            case "share":
                return draw(seed, "reject in order", self._in_order) < reject.share
            case _:
                return False

    def _over_limits(self, asked: Asked) -> Refused | None:
        """Counts what a request asks up front: its prompt and all its max_tokens."""
        limits, minute = self.settings.limits, int(time.time() // MINUTE)
        if minute != self._minute:
            self._minute, self._requests, self._tokens = minute, 0, 0
        wanted = asked.prompt + asked.max_tokens
        over = (
            limits.requests_per_minute is not None and self._requests + 1 > limits.requests_per_minute
        ) or (limits.tokens_per_minute is not None and self._tokens + wanted > limits.tokens_per_minute)
        if over:
            return Refused("limit", self.until_reset())
        self._requests += 1
        self._tokens += wanted
        return None

    def until_reset(self) -> float:
        """Seconds until the limits' next minute."""
        return MINUTE - time.time() % MINUTE

    def limits_left(self) -> dict[str, tuple[int, int]]:
        """(limit, remaining) of each limit there is."""
        limits: Limits = self.settings.limits
        found = {}
        if limits.requests_per_minute is not None:
            left = limits.requests_per_minute - self._requests
            found["requests"] = (limits.requests_per_minute, max(0, left))
        if limits.tokens_per_minute is not None:
            found["tokens"] = (limits.tokens_per_minute, max(0, limits.tokens_per_minute - self._tokens))
        return found

    def fault(self, asked: Asked, request_id: str) -> FaultSpec | None:
        """The fault of the first rule that strikes."""
        attempt = self.judged[request_id]
        for number, rule in enumerate(self.settings.rules):
            if _concerns(rule, asked, request_id) and rule.applies(attempt):
                self._rules[number] += 1
                if self._strikes(rule, number, request_id, attempt):
                    return rule
        return None

    def _strikes(self, rule: Rule, number: int, request_id: str, attempt: int) -> bool:
        if rule.every is not None and self._rules[number] % rule.every:
            return False
        if rule.share is None:
            return True
        return draw(self.settings.seed, "rule", number, request_id, attempt) < rule.share


def _concerns(rule: Rule, asked: Asked, request_id: str) -> bool:
    return (
        (rule.model is None or rule.model == asked.version)
        and (rule.request is None or rule.request == request_id)
        and (rule.stream is None or rule.stream == asked.stream)
    )


def retry_headers(seconds: float | None, form: str) -> Headers:
    """The header that asks to wait, in one of its forms."""
    if seconds is None:
        return []
    match form:
        case "milliseconds":
            return [("retry-after-ms", str(round(seconds * 1000)))]
        case "date":
            return [("retry-after", formatdate(time.time() + seconds, usegmt=True))]
        case _:
            return [("retry-after", f"{seconds:.3f}".rstrip("0").rstrip("."))]
