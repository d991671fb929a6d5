"""When to try again: full jitter, and tokens that successes earn. Pure.

Tokens bound what an outage can cost: with N calls and a burst of B, at most N + B attempts are sent, since nothing
succeeds and so nothing is earned.
"""

from __future__ import annotations

import random

FIRST = 0.1
CEILING = 8.0


def earn(tokens: float, deposit: float, burst: float) -> float:
    """After a success."""
    return min(burst, tokens + deposit)


def spend(tokens: float) -> float | None:
    """After a retry; None where there is no token for it."""
    return tokens - 1 if tokens >= 1 else None


def jitter(failures: int, draw: random.Random, ceiling: float = CEILING) -> float:
    """Seconds before the next attempt: uniform below an exponentially growing ceiling ("full jitter")."""
    return draw.uniform(0.0, min(ceiling, FIRST * 2.0 ** min(failures, 30)))
