"""An outbox of what people must be told: written with the event, delivered at least once."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from registry.locking import insert_if_absent, keep_tenant
from registry.schema import Alert

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=15), timedelta(hours=1)


def raise_alert(
    session: Session, tenant_id: str, kind: str, subject: str, details: dict[str, Any], now: datetime
) -> Alert | None:
    """Record an alert. The same event (tenant, kind, subject, details) is recorded once: None then.

    Of an erased tenant nobody is told anything: None too.
    """
    if not keep_tenant(session, tenant_id):
        return None
    details = json.loads(json.dumps(details, default=str))
    encoded = json.dumps([tenant_id, kind, subject, details], sort_keys=True)
    fingerprint = hashlib.sha256(encoded.encode()).hexdigest()
    added = insert_if_absent(
        session,
        Alert,
        tenant_id=tenant_id,
        fingerprint=fingerprint,
        kind=kind,
        subject=subject,
        details=details,
        created_at=now,
    )
    return session.scalar(select(Alert).where(Alert.fingerprint == fingerprint)) if added else None


def undelivered(session: Session, now: datetime, limit: int = 100) -> list[Alert]:
    """Alerts whose next attempt is due, oldest first."""
    due = or_(Alert.next_attempt_at.is_(None), Alert.next_attempt_at <= now)
    query = select(Alert).where(Alert.delivered_at.is_(None), due).order_by(Alert.id).limit(limit)
    return list(session.scalars(query))


def record_delivery(session: Session, alert_id: int, now: datetime) -> None:
    """Note that an alert got through: so will the tenant's others, which are due at once, whatever they waited for.

    One whose tenant was erased while it was delivered is gone.
    """
    alert = session.get(Alert, alert_id)
    if alert is None:
        return
    alert.attempts += 1
    alert.error, alert.delivered_at = "", now
    _put_off(session, alert.tenant_id, None)


def record_failure(session: Session, alert_id: int, now: datetime, error: str) -> None:
    """Note a failed attempt. It is made again after a pause that doubles up to an hour, for ever.

    All that waits for the same tenant waits with it, so that one dead webhook keeps no other tenant's alerts. One whose
    tenant was erased meanwhile is gone.
    """
    alert = session.get(Alert, alert_id)
    if alert is None:
        return
    alert.attempts += 1
    alert.error = error
    pause = min(FIRST_PAUSE * 2 ** min(alert.attempts - 1, 20), LONGEST_PAUSE)
    _put_off(session, alert.tenant_id, now + pause)


def _put_off(session: Session, tenant_id: str, until: datetime | None) -> None:
    """Set the next attempt of all that a tenant waits for; None is at once."""
    session.flush()
    waiting = update(Alert).where(Alert.tenant_id == tenant_id, Alert.delivered_at.is_(None))
    session.execute(waiting.values(next_attempt_at=until))
