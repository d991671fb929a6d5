"""Which budgets a call falls under: a fixed list of dimension sets, three windows and a total, three units. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import product

from gateway_client.errors import InvalidBudget

EACH = "*"
DIMENSION_SETS: tuple[tuple[str, ...], ...] = (
    ("tenant",),
    ("tenant", "lane"),
    ("tenant", "feature"),
    ("model",),
    ("pool",),
    ("tenant", "run"),
)
MINUTE, DAY = 60, 86_400
_VALUE = re.compile(r"[^\s,=|*%]{1,190}")


class Span(StrEnum):
    """How long a budget lasts before it starts anew (UTC); `total` never does."""

    MINUTE = "minute"
    DAY = "day"
    MONTH = "month"
    TOTAL = "total"


class Unit(StrEnum):
    """What a budget counts."""

    TOKENS = "tokens"
    REQUESTS = "requests"
    MICRODOLLARS = "microdollars"


@dataclass(frozen=True, slots=True)
class Amount:
    """So much of every unit."""

    tokens: int
    requests: int
    microdollars: int


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit on a scope, such as `tenant=acme,lane=batch` or `tenant=*`. `reserve` is what batch may not touch."""

    id: int
    scope: str
    window: Span
    unit: Unit
    limit: int
    reserve: int = 0


@dataclass(frozen=True, slots=True)
class CounterKey:
    """One budget for one scope in one window."""

    budget: Budget
    scope: str
    starts: int

    @property
    def key(self) -> str:
        """As the store knows it; its order is the order of locking."""
        return f"{self.scope}|{self.budget.window}|{self.budget.unit}|{self.budget.id}|{self.starts}"


def scopes_of(values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(scope as it may be set, scope of this call), the ones that mean `each` included."""
    for names in DIMENSION_SETS:
        if not all(values.get(name) for name in names):
            continue
        own = ",".join(f"{name}={values[name]}" for name in names)
        for chosen in product(*((values[name], EACH) for name in names)):
            yield ",".join(f"{name}={value}" for name, value in zip(names, chosen, strict=True)), own


def parse_scope(text: str) -> str:
    """A scope in its canonical order. Raises InvalidBudget for what is no dimension set."""
    parts = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    names = next((names for names in DIMENSION_SETS if set(names) == set(parts)), None)
    if names is None or len(parts) != len(text.split(",")):
        known = "; ".join(" and ".join(names) for names in DIMENSION_SETS)
        raise InvalidBudget(f"{text!r} is no scope: write NAME=VALUE, joined by commas, of {known}")
    for name, value in parts.items():
        if value != EACH:
            check_value(name, value)
    return ",".join(f"{name}={parts[name]}" for name in names)


def check_value(name: str, value: str) -> str:
    """A tenant, feature, run, ... as a scope can hold it. Raises InvalidBudget."""
    if not _VALUE.fullmatch(value):
        raise InvalidBudget(
            f"{name} {value[:40]!r} must be 1 to 190 characters without spaces or any of , = | * %"
        )
    return value


def starts(window: Span, now: float) -> int:
    """Unix time at which the window that holds `now` began."""
    if window is Span.TOTAL:
        return 0
    if window is not Span.MONTH:
        size = MINUTE if window is Span.MINUTE else DAY
        return int(now // size) * size
    return int(_month(now).timestamp())


def resets(window: Span, now: float) -> float | None:
    """Unix time at which the window that holds `now` ends; None for a total."""
    if window is Span.TOTAL:
        return None
    if window is not Span.MONTH:
        return float(starts(window, now) + (MINUTE if window is Span.MINUTE else DAY))
    return (_month(now) + timedelta(days=32)).replace(day=1).timestamp()


def _month(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
