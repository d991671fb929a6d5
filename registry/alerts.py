"""An outbox of what people must be told: written with the event, delivered at least once."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from registry.locking import insert_if_absent
from registry.schema import Alert


def raise_alert(
    session: Session, tenant_id: str, kind: str, subject: str, details: dict[str, Any], now: datetime
) -> Alert | None:
    """Record an alert. The same event (tenant, kind, subject, details) is recorded once: None then."""
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


def undelivered(session: Session, limit: int = 100) -> list[Alert]:
    """Alerts that wait for delivery, oldest first."""
    query = select(Alert).where(Alert.delivered_at.is_(None)).order_by(Alert.id).limit(limit)
    return list(session.scalars(query))


def record_delivery(session: Session, alert_id: int, now: datetime, error: str = "") -> None:
    """Note an attempt: delivered where `error` is empty, to be tried again otherwise."""
    alert = session.get_one(Alert, alert_id)
    alert.attempts += 1
    alert.error = error
    alert.delivered_at = None if error else now
