"""What providers tell in headers about their limits, and how long they ask us to wait."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_WAIT = 24 * 3600.0
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_PARTS = (86400.0, 3600.0, 60.0, 1.0, 0.001)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """One limit of a pool: its size, what is left, and in how many seconds it is full again; each None
    where the provider does not say."""

    limit: int | None = None
    remaining: int | None = None
    reset_seconds: float | None = None

    def __bool__(self) -> bool:
        return not (self.limit is None and self.remaining is None and self.reset_seconds is None)


@dataclass(frozen=True, slots=True)
class RateLimits:
    """A pool's limits, per minute. `tokens` counts both directions, where a provider counts so."""

    requests: RateLimit = RateLimit()
    tokens: RateLimit = RateLimit()
    input_tokens: RateLimit = RateLimit()
    output_tokens: RateLimit = RateLimit()

    def __bool__(self) -> bool:
        return any((self.requests, self.tokens, self.input_tokens, self.output_tokens))


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that the response asks to wait, from `retry-after-ms` (milliseconds) or `Retry-After`
    (seconds or an HTTP date, RFC 9110 10.2.3); None for no header or nonsense. `now` is Unix time.

    At most a day: a provider's mistake must not close a pool for ever.
    """
    found = _number(headers.get("retry-after-ms"))
    if found is not None:
        return _bounded(found / 1000)
    text = headers.get("retry-after")
    found = _number(text)
    if found is not None:
        return _bounded(found)
    date = _http_date(text)
    return None if date is None else _bounded(date - now)


def duration(text: str | None) -> float | None:
    """Seconds of `6m0s`, `1.5s`, `250ms` or plain seconds; None for anything else."""
    if not text:
        return None
    plain = _number(text)
    if plain is not None:
        return _bounded(plain)
    found = _DURATION.fullmatch(text.strip())
    if found is None or not any(found.groups()):
        return None
    return _bounded(
        sum(float(part) * size for part, size in zip(found.groups(), _PARTS, strict=True) if part)
    )


def instant(text: str | None, now: float) -> float | None:
    """Seconds from `now` (Unix time) until an RFC 3339 instant; 0 for one that has passed."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return _bounded((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() - now)


def count(text: str | None) -> int | None:
    """A whole number that is not negative; None for anything else."""
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else None


def _number(text: str | None) -> float | None:
    """Decimal digits only: `float` would also take `nan`, `inf` and `1_0`."""
    if text is None or not re.fullmatch(r"\s*\d{1,15}(\.\d{1,15})?\s*", text, re.ASCII):
        return None
    return float(text)


def _http_date(text: str | None) -> float | None:
    if not text:
        return None
    try:
        found = parsedate_to_datetime(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST_WAIT)
