"""Runs of the ingest job: how often an identity was asked for, and what each run came to."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from registry.locking import FOR_UPDATE, insert_if_absent, keep_tenant, lock_tenant
from registry.schema import RunAttempt, RunOutcome

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)


def next_run_key(session: Session, tenant_id: str, identity: str, now: datetime) -> str | None:
    """A key for a run that builds this identity; None while an earlier attempt may still be at it, or without tenant.

    Keys are (identity, attempt): a failed run must not wedge its tenant, and a repeated tick must not
    start the same attempt twice. Pauses between attempts double up to an hour.
    """
    if not keep_tenant(session, tenant_id):
        return None
    first = {"tenant_id": tenant_id, "identity": identity, "attempts": 1, "requested_at": now}
    if insert_if_absent(session, RunAttempt, **first):
        return f"{identity}:1"
    key = (tenant_id, identity)
    attempt = session.get_one(RunAttempt, key, with_for_update=FOR_UPDATE, populate_existing=True)
    pause: timedelta = min(FIRST_PAUSE * 2 ** min(attempt.attempts - 1, 12), LONGEST_PAUSE)
    if now - attempt.requested_at < pause:
        return None
    attempt.attempts, attempt.requested_at = attempt.attempts + 1, now
    return f"{identity}:{attempt.attempts}"


def record_outcome(
    session: Session, run: str, tenant_id: str, outcome: dict[str, Any], now: datetime
) -> None:
    """Store (or store again) what a run came to so far. Raises NotFound for a tenant that was erased."""
    lock_tenant(session, tenant_id)
    session.merge(RunOutcome(run=run, tenant_id=tenant_id, outcome=outcome, at=now))


def outcome(session: Session, run: str) -> dict[str, Any] | None:
    """What a run came to; None where it never got that far."""
    found = session.get(RunOutcome, run)
    return None if found is None else dict(found.outcome)
