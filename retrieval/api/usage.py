"""When a tenant was last asked: what nobody consumes has no reason to be kept fresh."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from sqlalchemy import update

from registry.clock import Clock
from registry.database import Registry
from registry.schema import Tenant

EVERY = timedelta(minutes=10)


class Usage:
    """Notes tenants' newest queries in memory; `flush` writes each at most once in ten minutes.

    A search itself never writes: it would queue behind whatever is being captured or built.
    """

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._newest: dict[str, datetime] = {}
        self._written: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def note(self, tenant_id: str) -> None:
        """A query of this tenant was answered just now."""
        with self._lock:
            self._newest[tenant_id] = self._clock()

    def flush(self) -> None:
        """Write what is due."""
        with self._lock:
            due = {tenant_id: at for tenant_id, at in self._newest.items() if self._is_due(tenant_id, at)}
        if not due:
            return
        with self._registry.write() as session:
            for tenant_id, at in sorted(due.items()):  # as whoever else locks several tenants
                session.execute(update(Tenant).where(Tenant.id == tenant_id).values(last_query_at=at))
        self._written.update(due)

    def _is_due(self, tenant_id: str, at: datetime) -> bool:
        written = self._written.get(tenant_id)
        return written is None or at - written >= EVERY
