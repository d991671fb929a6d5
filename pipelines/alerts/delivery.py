"""Delivery of alerts: to the log always, to the contract's webhook where there is one."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

import httpx

from registry import alerts, contracts
from registry.clock import Clock
from registry.crash_points import crash_point
from registry.database import Registry
from registry.errors import NotFound
from registry.schema import Alert, Tenant

log = logging.getLogger("holdfast.alerts")
TIMEOUT_SECONDS = 5.0


def deliver_all(registry: Registry, clock: Clock, client: httpx.Client | None = None) -> int:
    """Deliver what is due and give how many got through. A webhook that fails is tried again after a pause."""
    with registry.read() as session:
        waiting = [(a, _webhook(registry, a.tenant_id)) for a in alerts.undelivered(session, clock())]
        names = {a.tenant_id: session.get_one(Tenant, a.tenant_id).name for a, _ in waiting}
    failing: set[str] = set()
    delivered = 0
    for alert, webhook in waiting:
        if alert.tenant_id in failing:
            continue
        if alert.attempts == 0:
            log.warning("alert for tenant %s: %s: %s", names[alert.tenant_id], alert.kind, alert.subject)
        error = _post(webhook, _body(alert, names[alert.tenant_id]), client) if webhook else ""
        crash_point("alert:posted")
        _record(registry, alert, clock(), error)
        crash_point("alert:recorded")
        if error:
            failing.add(alert.tenant_id)
        delivered += not error
    return delivered


def _record(registry: Registry, alert: Alert, now: datetime, error: str) -> None:
    with registry.write() as session:
        if error:
            alerts.record_failure(session, alert.id, now, error)
        else:
            alerts.record_delivery(session, alert.id, now)


def _webhook(registry: Registry, tenant_id: str) -> str | None:
    with registry.read() as session:
        try:
            return contracts.current(session, tenant_id).alert_webhook
        except NotFound:
            return None


def _body(alert: Alert, tenant: str) -> dict[str, Any]:
    return {
        "id": alert.fingerprint,
        "tenant": tenant,
        "tenant_id": alert.tenant_id,
        "kind": alert.kind,
        "subject": alert.subject,
        "text": f"[{tenant}] {alert.subject}",
        "details": alert.details,
        "created_at": alert.created_at.isoformat(),
    }


def _post(url: str, body: dict[str, Any], client: httpx.Client | None) -> str:
    post = client.post if client else httpx.post
    try:
        response = post(url, json=body, timeout=TIMEOUT_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        log.warning("an alert could not be posted: %s", type(error).__name__)
        return f"{type(error).__name__}: {error}"
    return "" if response.is_success else f"the webhook answered {response.status_code}"
