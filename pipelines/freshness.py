"""Freshness: how old the oldest captured commit is that nobody can find yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from pipelines.pin.pins import oldest_unpublished
from registry import contracts


@dataclass(frozen=True, slots=True)
class Freshness:
    """The age of the oldest unpublished commit, in seconds; 0 where everything is published."""

    fresh: bool
    age_seconds: float
    allowed_seconds: float
    position: str
    summary: str


def freshness(session: Session, tenant_id: str, now: datetime) -> Freshness:
    """Measured from when the commit was captured or made, whichever is later: an old commit of a source
    that was added today is not late."""
    allowed = contracts.current(session, tenant_id).freshness_seconds
    oldest = oldest_unpublished(session, tenant_id)
    if oldest is None:
        return Freshness(True, 0.0, allowed, "", "everything captured is published")
    age = max((now - max(oldest.committed_at, oldest.captured_at)).total_seconds(), 0.0)
    text = f"the oldest unpublished commit ({oldest.position}) has waited {age:.0f} s of {allowed:.0f} s"
    return Freshness(age <= allowed, age, allowed, oldest.position, text)
