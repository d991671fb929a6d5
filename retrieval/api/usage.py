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
    """Notes a tenant's newest query, at most once in ten minutes, so that searches hardly ever write."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._noted: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def note(self, tenant_id: str) -> None:
        """A query of this tenant was answered just now."""
        now = self._clock()
        with self._lock:
            if now - self._noted.get(tenant_id, datetime.min.replace(tzinfo=now.tzinfo)) < EVERY:
                return
            self._noted[tenant_id] = now
        with self._registry.write() as session:
            session.execute(update(Tenant).where(Tenant.id == tenant_id).values(last_query_at=now))
