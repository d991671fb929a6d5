"""From the conditions of a request to the engine-neutral filter, or to a refusal that says what is wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from retrieval.errors import InvalidQuery
from retrieval.index.filter import Filter
from retrieval.search.query import SearchQuery

MAX_CONDITIONS = 64
MAX_VALUES = 1_000
_INT64 = 2**63


def filter_of(query: SearchQuery, hidden: frozenset[tuple[str, str]]) -> Filter:
    """The engine-neutral filter of a query. Raises InvalidQuery where a condition makes no sense."""
    conditions: dict[str, Any] = dict(query.filter)
    if len(conditions) > MAX_CONDITIONS:
        raise InvalidQuery(
            f"the filter has {len(conditions)} conditions, at most {MAX_CONDITIONS} are allowed"
        )
    for name, condition in conditions.items():
        if "\\" in name:  # an escape in the engine's paths, which it does not know outside of them
            raise InvalidQuery(f"metadata field {name!r} cannot be filtered by")
        for value in _values(name, condition):
            _check(name, value)
        if isinstance(condition, Mapping):
            conditions[name] = {bound: _utc(name, value) for bound, value in condition.items()}
    sources = _names(conditions, "source")
    documents = _names(conditions, "document")
    try:
        return Filter(hidden=hidden, sources=sources, documents=documents, metadata=conditions)
    except ValueError as error:
        raise InvalidQuery(str(error)) from error


def _values(name: str, condition: object) -> Sequence[object]:
    if isinstance(condition, Mapping):
        return list(condition.values())
    if isinstance(condition, list | tuple):
        if len(condition) > MAX_VALUES:
            raise InvalidQuery(f"the filter on {name!r} lists more than {MAX_VALUES:,} values")
        return condition
    return [condition]


def _check(name: str, value: object) -> None:
    """Refuse what no engine can compare with: numbers that are none, and integers beyond 64 bits."""
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidQuery(f"the filter on {name!r} has a number that is not finite")
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise InvalidQuery(f"the filter on {name!r} has an integer beyond 64 bits")


def _utc(name: str, bound: object) -> object:
    """A time with an offset, in UTC: engines take fewer offsets than ISO 8601 has."""
    if not isinstance(bound, str):
        return bound
    try:
        moment = datetime.fromisoformat(bound)
        return bound if moment.tzinfo is None else moment.astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        raise InvalidQuery(f"the range on {name!r}: {bound!r} is not an ISO 8601 time") from None


def _names(conditions: dict[str, Any], field: str) -> frozenset[str] | None:
    """Take the names to keep out of the conditions; None where there is no such condition."""
    if field not in conditions:
        return None
    condition = conditions.pop(field)
    values = [condition] if isinstance(condition, str) else condition
    if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
        raise InvalidQuery(f"the filter on {field!r} must be a name or a list of names")
    return frozenset(values)
