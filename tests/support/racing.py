"""What other processes do to a registry. Each function opens its own, so that it can be spawned."""

from __future__ import annotations

import os
import time
from datetime import timedelta

from sqlalchemy.exc import OperationalError

from registry import alerts, leases, publication, runs, tenants
from registry.clock import utc_now
from registry.database import Registry
from registry.errors import AlreadyExists, LeaseHeld, PublicationRefused
from registry.schema import Lease
from tests.support.registry_rows import START


def migrate(url: str) -> bool:
    registry = Registry(url)
    registry.migrate()
    registry.ensure_current()
    registry.close()
    return True


def increment(url: str, times: int) -> int:
    """Adds one to a counter, each time in a transaction that reads first; how often it was locked out."""
    registry, failed = Registry(url), 0
    for _ in range(times):
        try:
            with registry.write() as session:
                counter = session.get_one(Lease, "counter", with_for_update=True)
                counter.token += 1
        except OperationalError:
            failed += 1
    registry.close()
    return failed


def acquire(url: str, name: str, holder: str) -> int | None:
    """The token, or None where somebody else has the lease. The process lives on until the race is over."""
    registry = Registry(url)
    try:
        with registry.write() as session:
            return leases.acquire(session, name, leases.Holder.current(holder), 600, utc_now())
    except LeaseHeld:
        return None
    finally:
        registry.close()


def hold(url: str, name: str) -> None:
    """Takes a lease for an hour, says so on stdout, and stays."""
    registry = Registry(url)
    with registry.write() as session:
        token = leases.acquire(session, name, leases.Holder.current("holder"), 3600, utc_now())
    os.write(1, f"{token}\n".encode())
    time.sleep(600)


def publish(url: str, tenant_id: str, number: int) -> str:
    """`published`, or why not."""
    registry = Registry(url)
    try:
        with registry.write() as session:
            publication.publish(session, tenant_id, number, START + timedelta(hours=1))
    except PublicationRefused as error:
        return error.reason
    finally:
        registry.close()
    return "published"


def create_tenant(url: str, name: str) -> bool:
    registry = Registry(url)
    try:
        with registry.write() as session:
            tenants.create(session, name, START)
    except AlreadyExists:
        return False
    finally:
        registry.close()
    return True


def raise_alert(url: str, tenant_id: str) -> bool:
    registry = Registry(url)
    with registry.write() as session:
        raised = alerts.raise_alert(session, tenant_id, "kind", "subject", {"a": 1}, START)
    registry.close()
    return raised is not None


def ask_for_run(url: str, tenant_id: str) -> str | None:
    registry = Registry(url)
    with registry.write() as session:
        key = runs.next_run_key(session, tenant_id, "identity", START)
    registry.close()
    return key
