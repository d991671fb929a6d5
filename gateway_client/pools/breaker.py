"""One breaker per provider and model: opens on failures, lets single probes through, closes on success. Pure.

Rejections for capacity do not feed it: the gate and the window answer those.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

REMEMBERED = 20
ENOUGH = 8
FIRST_OPEN = 1.0
LONGEST_OPEN = 30.0
PROBE_LEASE = 30.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """Failures are bits, newest lowest. It is open while `open_for` is not 0; `probe` is out since `probe_at`."""

    failures: int = 0
    seen: int = 0
    opened_at: float = 0.0
    open_for: float = 0.0
    probe_at: float = 0.0
    probe: str = ""

    @property
    def state(self) -> str:
        """closed, open or half_open (a probe is out)."""
        if not self.open_for:
            return "closed"
        return "half_open" if self.probe_at else "open"

    def wait(self, now: float) -> float:
        """Seconds until a call may be let through, 0 for now."""
        if not self.open_for:
            return 0.0
        if self.probe_at:
            return _left(self.probe_at, PROBE_LEASE, now)
        return _left(self.opened_at, self.open_for, now)


def _left(since: float, seconds: float, now: float) -> float:
    # A clock that was set back does not prolong it.
    return max(0.0, min(seconds, since + seconds - now))


def let_through(breaker: Breaker, attempt: str, now: float) -> Breaker:
    """After an attempt was let through: on an open breaker it is the probe."""
    return replace(breaker, probe_at=now, probe=attempt) if breaker.open_for else breaker


def succeeded(breaker: Breaker) -> Breaker:
    """After an answer of any content: the provider works."""
    if breaker.open_for:
        return Breaker()
    return _remember(breaker, 0)


def given_back(breaker: Breaker, attempt: str) -> Breaker:
    """After an attempt that proved nothing: rejected for capacity, or never sent. If it was the probe, another goes."""
    return replace(breaker, probe_at=0.0, probe="") if breaker.probe == attempt else breaker


def failed(breaker: Breaker, attempt: str, now: float) -> Breaker:
    """After a failure of the provider's. A failed probe doubles the time until the next."""
    if breaker.open_for:
        if breaker.probe != attempt:
            return breaker  # sent before it opened
        longer = min(LONGEST_OPEN, 2 * breaker.open_for)
        return replace(breaker, opened_at=now, open_for=longer, probe_at=0.0, probe="")
    after = _remember(breaker, 1)
    if after.seen >= ENOUGH and 2 * after.failures.bit_count() > after.seen:
        return replace(after, opened_at=now, open_for=FIRST_OPEN)
    return after


def _remember(breaker: Breaker, bit: int) -> Breaker:
    mask = (1 << REMEMBERED) - 1
    return replace(
        breaker, failures=(breaker.failures << 1 | bit) & mask, seen=min(REMEMBERED, breaker.seen + 1)
    )
