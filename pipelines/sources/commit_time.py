"""When a commit happened, on a clock that neither runs backwards nor ahead."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def settle(at: datetime | None, floor: datetime | None, now: datetime) -> datetime:
    """`at` (now, where it is not known), not before the commit before it and not after `now`; aware UTC."""
    known = now if at is None else at
    if floor is not None:
        known = max(known, floor)
    return min(known, now).astimezone(UTC)


def from_epoch(seconds: float) -> datetime | None:
    """Seconds since 1970 as aware UTC, None where they are beyond the calendar."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def from_iso(text: object) -> datetime | None:
    """An ISO 8601 time as aware UTC (taken for UTC where it names no zone), None where it is none."""
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def last_time(state: Mapping[str, Any]) -> datetime | None:
    """The time of the commit that left this cursor state."""
    return from_iso(state["at"]) if "at" in state else None
