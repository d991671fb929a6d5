"""Chance that comes out the same again: every draw is a hash of the seed and of what it is for."""

from __future__ import annotations

import math
from hashlib import blake2b
from statistics import NormalDist

from gateway_client.simulator.settings import Distribution

_NORMAL = NormalDist()
_STEPS = 2**64


def draw(seed: int, *what: object) -> float:
    """A number from [0, 1), equal for equal arguments."""
    text = "\x1f".join(str(part) for part in (seed, *what))
    return int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()) / _STEPS


def duration(distribution: Distribution, seed: int, *what: object) -> float:
    """Seconds from a distribution, by inverting it at a draw."""
    if distribution.kind == "constant":
        return min(distribution.seconds, distribution.longest)
    chance = draw(seed, *what)
    return min(max(_inverse(distribution, chance), 0.0), distribution.longest)


def _inverse(distribution: Distribution, chance: float) -> float:
    match distribution.kind:
        case "uniform":
            return distribution.seconds + (2 * chance - 1) * distribution.spread
        case "lognormal":
            normal = _NORMAL.inv_cdf(min(max(chance, 1e-12), 1 - 1e-12))
            return distribution.seconds * math.exp(distribution.spread * normal)
        case _:
            return -distribution.seconds * math.log(1 - chance)
