"""From the catalogue's pools to what the store declares."""

from __future__ import annotations

from gateway_client.catalogue import Catalogue, PoolSpec
from gateway_client.pools.declared import PoolConfig


def declared_pools(catalogue: Catalogue) -> dict[str, PoolConfig]:
    """Every pool that a model of the catalogue uses."""
    names = {model.pool for model in catalogue.models.values()}
    return {name: _config(catalogue.pools.get(name)) for name in sorted(names)}


def _config(spec: PoolSpec | None) -> PoolConfig:
    if spec is None:
        return PoolConfig()
    given = {
        "max_window": spec.max_window or spec.window,
        "initial_window": spec.window,
        "headroom": spec.headroom,
        "batch_minimum": spec.batch_minimum,
        "batch_max_wait": spec.batch_max_wait,
        "queue_batch": spec.queue,
        "requests_per_minute": spec.requests_per_minute,
        "tokens_per_minute": spec.tokens_per_minute,
    }
    found = {name: value for name, value in given.items() if value is not None}
    window = found.get("max_window")
    if window is not None and "headroom" not in found:
        found["headroom"] = min(4, int(window) // 4)
    return PoolConfig.model_validate(found)


def monthly_caps(catalogue: Catalogue) -> dict[str, int]:
    """What a provider lets each pool cost in a month, in micro-dollars, where it is known."""
    caps = {name: spec.micro_dollars_per_month for name, spec in catalogue.pools.items()}
    return {name: cap for name, cap in caps.items() if cap is not None}
