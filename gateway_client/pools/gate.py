"""A pool's gate: shut by Retry-After, for everybody. Pure."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST = 3600.0


@dataclass(frozen=True, slots=True)
class Gate:
    """Shut from one Unix time until another."""

    since: float = 0.0
    until: float = 0.0

    def shut_for(self, now: float) -> float:
        """Seconds until it opens, 0 if it is open.

        Never longer than it was shut for: where the clock was set back, it opens as long after as it would have.
        """
        return max(0.0, min(self.until - now, self.until - self.since))


def shut(gate: Gate, seconds: float, now: float) -> Gate:
    """Shut for so many seconds from now; a longer time that was announced before holds."""
    wanted = min(max(seconds, 0.0), LONGEST)
    if gate.shut_for(now) >= wanted:
        return gate
    return Gate(now, now + wanted)
