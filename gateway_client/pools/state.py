"""A pool's moving part as one document: what the last outcomes taught. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, replace

from gateway_client.lanes import Lane
from gateway_client.pools import breaker as breakers
from gateway_client.pools import gate, limits, retries, window
from gateway_client.pools.breaker import Breaker
from gateway_client.pools.declared import PoolConfig
from gateway_client.pools.gate import Gate
from gateway_client.pools.limits import Learned
from gateway_client.pools.window import Window


@dataclass(frozen=True, slots=True)
class PoolState:
    """Window, gate, learned limits, breakers by provider/model, retry tokens, and each lane's virtual time."""

    window: Window
    retry_tokens: float
    gate: Gate = field(default_factory=Gate)
    learned: Mapping[str, Learned] = field(default_factory=dict)
    breakers: Mapping[str, Breaker] = field(default_factory=dict)
    virtual: Mapping[str, float] = field(default_factory=dict)

    def limits(self, declared: PoolConfig, now: float) -> dict[str, Learned]:
        """What is known of the provider's limits at this moment."""
        return limits.with_declared(self.learned, declared.per_minute, now)

    def breaker(self, name: str) -> Breaker:
        """The breaker of a provider/model."""
        return self.breakers.get(name, Breaker())

    def virtual_time(self, lane: str) -> float:
        """Tokens that the lane's last admitted tenant had been served."""
        return self.virtual.get(lane, 0.0)

    def with_breaker(self, name: str, breaker: Breaker) -> PoolState:
        """With another state of one breaker; a closed one that saw nothing is not kept."""
        others = {key: value for key, value in self.breakers.items() if key != name}
        return replace(self, breakers=others if breaker == Breaker() else {**others, name: breaker})

    def shut_for(self, now: float) -> float:
        """Seconds until the gate opens."""
        return self.gate.shut_for(now)


@dataclass(frozen=True, slots=True)
class Granted:
    """An attempt that is let through: which limits it takes from, whose `breaker` (provider/model), and how much its
    tenant had been `served` in the lane."""

    attempt: str
    lane: str
    breaker: str
    served: float
    need: limits.Needs


def fresh(declared: PoolConfig) -> PoolState:
    """A pool that nothing is known about."""
    size = min(declared.initial_window or declared.max_window, declared.max_window)
    return PoolState(Window(float(size)), declared.retry_burst)


def admitted(state: PoolState, declared: PoolConfig, granted: Granted, now: float) -> PoolState:
    """After an attempt was let through."""
    lane, name = granted.lane, granted.breaker
    virtual = {**state.virtual, lane: max(state.virtual_time(lane), granted.served)}
    learned = limits.take(state.limits(declared, now), granted.need, now)
    after = replace(state, virtual=virtual, learned=learned)
    return after.with_breaker(name, breakers.let_through(state.breaker(name), granted.attempt, now))


def answered(state: PoolState, declared: PoolConfig, name: str, in_flight: int, seconds: float) -> PoolState:
    """After an answer of any content."""
    after = replace(
        state,
        window=window.accepted(state.window, in_flight, declared.max_window, seconds),
        retry_tokens=retries.earn(state.retry_tokens, declared.retry_deposit, declared.retry_burst),
    )
    return after.with_breaker(name, breakers.succeeded(state.breaker(name)))


def rejected(state: PoolState, name: str, attempt: str, retry_after: float | None, now: float) -> PoolState:
    """After a rejection for capacity."""
    after = replace(state, window=window.rejected(state.window, now))
    if retry_after is not None:
        after = replace(after, gate=gate.shut(state.gate, retry_after, now))
    return not_sent(after, name, attempt)


def failed(
    state: PoolState, name: str, attempt: str, now: float, retry_after: float | None = None
) -> PoolState:
    """After a failure of the provider's; some say with it when to come again."""
    after = state.with_breaker(name, breakers.failed(state.breaker(name), attempt, now))
    return after if retry_after is None else replace(after, gate=gate.shut(after.gate, retry_after, now))


def not_sent(state: PoolState, name: str, attempt: str) -> PoolState:
    """After an attempt that was let through and not sent."""
    return state.with_breaker(name, breakers.given_back(state.breaker(name), attempt))


def dumps(state: PoolState) -> str:
    """As the store keeps it."""
    return json.dumps(
        {
            "window": astuple(state.window),
            "retry_tokens": state.retry_tokens,
            "gate": astuple(state.gate),
            "learned": {name: astuple(learned) for name, learned in state.learned.items()},
            "breakers": {name: astuple(breaker) for name, breaker in state.breakers.items()},
            "virtual": {str(lane): value for lane, value in state.virtual.items()},
        },
        separators=(",", ":"),
    )


def loads(text: str) -> PoolState:
    """From what the store keeps."""
    found = json.loads(text)
    return PoolState(
        Window(*found["window"]),
        found["retry_tokens"],
        Gate(*found["gate"]),
        {name: Learned(*values) for name, values in found["learned"].items()},
        {name: Breaker(*values) for name, values in found["breakers"].items()},
        {Lane(lane): value for lane, value in found["virtual"].items()},
    )


def fitted(state: PoolState, declared: PoolConfig) -> PoolState:
    """The same pool after its promises were changed: a declared window is taken at once."""
    size = fresh(declared).window.size
    return replace(
        state,
        window=replace(state.window, size=size),
        retry_tokens=min(state.retry_tokens, declared.retry_burst),
    )
