"""Limits that a provider tells in its headers, kept between its answers. Pure.

They make calls wait, they never refuse one: what was learned may be out of date, and the provider has the last word
by its 429.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

LONGEST = 120.0
MINUTE = 60


@dataclass(frozen=True, slots=True)
class Learned:
    """One limit: its size, what is left of it, and from when until when that holds (Unix seconds)."""

    limit: int
    remaining: int
    since: float
    resets: float

    def lacks(self, need: int, now: float) -> float:
        """Seconds until `need` fits, 0 if it does now. What is larger than the limit itself is let through."""
        if need <= self.remaining or need > self.limit:
            return 0.0
        return max(0.0, min(self.resets - now, self.resets - self.since))


Limits = Mapping[str, Learned]
Needs = Mapping[str, int]


def needs(input_tokens: int, max_output: int) -> dict[str, int]:
    """What a call takes of each limit before it is answered, by its name."""
    return {
        "requests": 1,
        "tokens": input_tokens + max_output,
        "input_tokens": input_tokens,
        "output_tokens": max_output,
    }


def with_declared(limits: Limits, per_minute: Mapping[str, int], now: float) -> dict[str, Learned]:
    """What was learned, and where nothing is known of this minute, what was declared of every minute."""
    began = now // MINUTE * MINUTE
    fresh = {name: Learned(limit, limit, began, began + MINUTE) for name, limit in per_minute.items()}
    known = {name: learned for name, learned in limits.items() if learned.since <= now < learned.resets}
    return {**fresh, **known}


def wait_for(limits: Limits, need: Needs, now: float) -> float:
    """Seconds until every limit has room, 0 if all have."""
    return max((learned.lacks(need.get(name, 0), now) for name, learned in limits.items()), default=0.0)


def take(limits: Limits, need: Needs, now: float) -> dict[str, Learned]:
    """After a call was let through. A limit whose time is over is forgotten until the provider tells it again."""
    return {
        name: replace(learned, remaining=learned.remaining - need.get(name, 0))
        for name, learned in limits.items()
        if now < learned.resets and now >= learned.since - LONGEST
    }


def learn(limits: Limits, told: Mapping[str, tuple[int, int, float]], now: float) -> dict[str, Learned]:
    """After an answer that told {name: (limit, remaining, seconds until reset)}."""
    after = dict(limits)
    for name, (limit, remaining, seconds) in told.items():
        wait = min(max(seconds, 0.0), LONGEST)
        after[name] = Learned(limit, remaining, now, now + wait)
    return after
