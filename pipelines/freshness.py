"""Freshness: how long something has waited that nobody can find yet, whatever keeps it waiting."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from pipelines.pin.pins import oldest_unpublished
from registry import changelog, contracts, generations, sources
from registry.schema import Source, Tenant


@dataclass(frozen=True, slots=True)
class Freshness:
    """The age of the oldest unpublished commit, in seconds; 0 where everything is published.

    Where a source was not read for longer than the contract allows, `age_seconds` is that time: what it
    committed since is not known, so nothing can be said to be fresh.
    """

    fresh: bool
    age_seconds: float
    allowed_seconds: float
    position: str
    summary: str


def freshness(session: Session, tenant_id: str, now: datetime) -> Freshness:
    """Measured from when a commit was captured for this tenant: an old commit of a source, or of a tenant,
    that was added today is not late."""
    allowed = contracts.current(session, tenant_id).freshness_seconds
    created_at = session.get_one(Tenant, tenant_id).created_at
    unread = _longest_unread(session, tenant_id, now)
    oldest = oldest_unpublished(session, tenant_id)
    waited = (now - max(oldest.captured_at, created_at)).total_seconds() if oldest else 0.0
    if unread is not None and unread[1] > max(allowed, waited):
        source, age = unread
        return Freshness(False, age, allowed, source.position or "", _unread(source, age, allowed))
    if oldest is None:
        return Freshness(True, 0.0, allowed, "", "everything captured is published")
    text = f"the oldest unpublished commit ({oldest.position}) has waited {waited:.0f} s of {allowed:.0f} s"
    if waited > allowed:
        text += f": {_why(session, tenant_id)}"
    return Freshness(waited <= allowed, waited, allowed, oldest.position, text)


def _longest_unread(session: Session, tenant_id: str, now: datetime) -> tuple[Source, float] | None:
    ages = [
        (source, (now - (source.checked_at or source.created_at)).total_seconds())
        for source in sources.of_tenant(session, tenant_id)
    ]
    return max(ages, key=lambda found: found[1], default=None)


def _unread(source: Source, age: float, allowed: float) -> str:
    why = source.error or "no capturer looks at it: `holdfast capture`, or `holdfast up`"
    return (
        f"source {source.name} was not read for {age:.0f} s of {allowed:.0f} s, so what it committed since is "
        f"not known: {why}"
    )


def _why(session: Session, tenant_id: str) -> str:
    """What keeps commits from being published, as far as the registry knows."""
    tenant = session.get_one(Tenant, tenant_id)
    newest = next(iter(generations.of_tenant(session, tenant_id)), None)
    if tenant.status != "active":
        return f"the tenant is {tenant.status}"
    if tenant.held_at is not None:
        return f"ingestion is held ({tenant.held_reason})"
    if changelog.held_commits(session, tenant_id):
        return "deletions wait for a person: `holdfast deletion list`"
    if newest is not None and newest.status == "rejected":
        return f"generation {newest.number} was rejected by its checks"
    return "no run published it: is the daemon running?"
