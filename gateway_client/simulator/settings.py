"""How a simulated provider behaves: a TOML file, the command's options, or the admin endpoint."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway_client.simulator.faults import FaultSpec

Seconds = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Distribution(Section):
    """Durations in seconds. `spread` is half the width (uniform) or sigma of the logarithm (lognormal, whose median
    is then `seconds`); an exponential has the mean `seconds`. `longest` cuts the tail."""

    kind: Literal["constant", "uniform", "lognormal", "exponential"] = "constant"
    seconds: Seconds = 0.0
    spread: Seconds = 0.0
    longest: Seconds = 3600.0


class Rejection(Section):
    """Which requests are answered 429 although there is room.

    `every`: each `n`-th; `hash`: a `share`, by a hash of seed, request id and arrival, so that a request's fate is
    the same whatever else is going on; `share`: a `share`, by order of arrival. `capacity_retry_after` is
    what a 429 for want of room asks.
    """

    pattern: Literal["none", "every", "hash", "share"] = "none"
    n: Annotated[int, Field(ge=1)] = 3
    share: Share = 1 / 3
    retry_after: Seconds | None = None
    capacity_retry_after: Seconds | None = None
    form: Literal["seconds", "date", "milliseconds"] = "seconds"
    latency: Distribution = Distribution()


class Rule(FaultSpec):
    """A fault with whom it strikes: all of the conditions given, of which none is required. `every` strikes each
    n-th request that meets the rest, `share` a share of them by the hash of request id and arrival."""

    model: str | None = None  # the exact version
    request: str | None = None  # the request id
    stream: bool | None = None
    every: Annotated[int, Field(ge=1)] | None = None
    share: Share | None = None


class Limits(Section):
    """Limits of one minute, counted from its start, told in headers and kept."""

    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    tokens_per_minute: Annotated[int, Field(ge=1)] | None = None


class Settings(Section):
    """All of it. `capacity` is how many requests may be in flight (None: any number); `keys`, if there are any, are
    the only ones that are let in; `echo` answers with the prompt's last words instead of filler."""

    seed: int = 0
    capacity: Annotated[int, Field(ge=0)] | None = None
    reject: Rejection = Rejection()
    limits: Limits = Limits()
    first_token: Distribution = Distribution()
    between_tokens: Distribution = Distribution()
    output_tokens: Annotated[int, Field(ge=1)] = 20
    reasoning_tokens: Annotated[int, Field(ge=0)] = 0
    cached_share: Share = 0.0
    cache_write_share: Share = 0.0
    rate_limit_headers: bool = True
    keys: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()


def read(path: Path) -> Settings:
    """The settings of a TOML file. Raises ValueError (pydantic's, or TOML's)."""
    return Settings.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))


def changed(settings: Settings, patch: dict[str, Any]) -> Settings:
    """Settings with some of them replaced, section by section. Raises pydantic's ValidationError."""
    return Settings.model_validate(_merged(settings.model_dump(mode="json"), patch))


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    found = dict(old)
    for key, value in new.items():
        both = isinstance(value, dict) and isinstance(found.get(key), dict)
        found[key] = _merged(found[key], value) if both else value
    return found
