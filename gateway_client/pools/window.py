"""How many calls may be in flight: additive increase, and a decrease that noise does not trigger. Pure.

Plain AIMD collapses under a provider that rejects at random: at one rejection in three it settles near two in flight.
Here the window is cut only when fewer than half of the remembered outcomes were accepted, which are then forgotten,
and at most once per latency; it grows only while it is used. Three outcomes a slot are remembered: with 60 in all, a
window of 80 was cut by chance every few minutes, at one rejection in three, and stood at 57.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

FEWEST = 60
PER_SLOT = 3
CUT = 0.8
LATENCY_WEIGHT = 0.1


@dataclass(frozen=True, slots=True)
class Window:
    """The window, the outcomes it is judged by (a bit each, newest lowest), and the mean latency in seconds."""

    size: float
    outcomes: int = 0
    seen: int = 0
    cut_at: float = 0.0
    latency: float = 0.0

    @property
    def slots(self) -> int:
        """Whole slots; never none."""
        return max(1, int(self.size + 1e-9))

    @property
    def memory(self) -> int:
        """Outcomes that are remembered, and needed before a cut."""
        return max(FEWEST, PER_SLOT * self.slots)

    @property
    def acceptance(self) -> float:
        """Accepted share of the remembered outcomes; 1 where there are none."""
        return self.outcomes.bit_count() / self.seen if self.seen else 1.0


def accepted(window: Window, in_flight: int, largest: int, seconds: float) -> Window:
    """After an answer that took so many seconds, with so many in flight."""
    latency = seconds if not window.latency else window.latency + LATENCY_WEIGHT * (seconds - window.latency)
    used = 2 * in_flight >= window.slots
    size = min(float(largest), window.size + 1 / window.size) if used else min(float(largest), window.size)
    return replace(_remember(window, 1), size=size, latency=latency)


def rejected(window: Window, now: float) -> Window:
    """After a rejection for capacity."""
    after = _remember(window, 0)
    # A clock that was set back must not forbid cuts until it has caught up.
    recently = 0 <= now - after.cut_at < max(after.latency, 0.05)
    if after.seen < after.memory or after.acceptance >= 0.5 or recently:
        return after
    # What was seen with the larger window says nothing of the smaller one.
    return replace(after, size=max(1.0, after.size * CUT), cut_at=now, outcomes=0, seen=0)


def _remember(window: Window, bit: int) -> Window:
    seen = min(window.memory, window.seen + 1)
    return replace(window, outcomes=(window.outcomes << 1 | bit) & ((1 << seen) - 1), seen=seen)
