"""Which chunks a search may return, in no engine's terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

Scalar: TypeAlias = str | int | float | bool
Range: TypeAlias = Mapping[str, float | str]
Condition: TypeAlias = Scalar | Sequence[Scalar] | Range

_BOUNDS = frozenset({"gte", "gt", "lte", "lt"})


@dataclass(frozen=True)
class Filter:
    """All conditions must hold.

    hidden: (source, document) pairs to leave out. sources, documents: names to keep; None keeps all, an empty
    set keeps nothing. metadata: field -> a value, a list of which one must match, or a range
    ({gte, gt, lte, lt}: numbers, or ISO 8601 times). A field that holds a list matches if any element does; a
    whole number matches whole numbers only. Raises ValueError for any other condition.
    """

    hidden: frozenset[tuple[str, str]] = frozenset()
    sources: frozenset[str] | None = None
    documents: frozenset[str] | None = None
    metadata: Mapping[str, Condition] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, condition in self.metadata.items():
            if not name or '"' in name:
                raise ValueError(f"metadata field {name!r} cannot be filtered by")
            _check(name, condition)

    @property
    def keeps_nothing(self) -> bool:
        """True when no chunk can pass."""
        if self.sources is not None and not self.sources:
            return True
        if self.documents is not None and not self.documents:
            return True
        return any(condition == [] or condition == () for condition in self.metadata.values())


def is_time_range(condition: Range) -> bool:
    """Whether a range's bounds are times rather than numbers."""
    return all(isinstance(bound, str) for bound in condition.values())


def _check(name: str, condition: object) -> None:
    if isinstance(condition, str | int | float):
        return
    if isinstance(condition, Mapping):
        _check_range(name, condition)
    elif not isinstance(condition, Sequence) or not all(isinstance(x, str | int | float) for x in condition):
        raise ValueError(f"the filter on {name!r} must be a value, a list of values or a range")


def _check_range(name: str, condition: Range) -> None:
    if not condition or not set(condition) <= _BOUNDS:
        raise ValueError(f"the range on {name!r} must be given by some of gte, gt, lte, lt")
    bounds = condition.values()
    if is_time_range(condition):
        for bound in bounds:
            _check_time(name, str(bound))
    elif not all(isinstance(bound, int | float) and not isinstance(bound, bool) for bound in bounds):
        raise ValueError(f"the range on {name!r} must be of numbers, or of ISO 8601 times")


def _check_time(name: str, bound: str) -> None:
    try:
        datetime.fromisoformat(bound)
    except ValueError:
        raise ValueError(f"the range on {name!r}: {bound!r} is not an ISO 8601 time") from None
