"""Whose row is this? The tenant column's label turned into a tenant, once per label and commit."""

from __future__ import annotations

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from registry.schema import Source, Tenant
from registry.tenants import waiting_scope


class Scopes:
    """Resolves labels for one source within one transaction."""

    def __init__(self, session: Session, source: Source) -> None:
        self._session = session
        self._owner = source.tenant_id
        self._known: dict[str, str | None] = {}

    def of(self, label: str | None) -> str | None:
        """The tenant's id; `?label` where there is no such tenant yet; None where it was erased."""
        if self._owner is not None:
            return self._owner
        wanted = label or ""
        if wanted not in self._known:
            self._known[wanted] = self._resolve(wanted)
        return self._known[wanted]

    def _resolve(self, label: str) -> str | None:
        query = select(Tenant).where(or_(Tenant.name == label, Tenant.id == label))
        found = list(self._session.scalars(query))
        present = [tenant for tenant in found if tenant.status != "erased"]
        if present:
            return present[0].id
        return None if found else waiting_scope(label)
