"""What decides between concurrent writers: the tenant's row as a lock, and rows that only one may add.

On SQLite a write transaction is alone and neither is needed; on PostgreSQL both are. There a row is locked in the
strength of an update: a full lock would stand against every row that refers to it (a pin to its source, an alert to
its tenant), and two transactions that each hold one of the two would wait for each other. Whoever locks several rows
takes sources first, then tenants by their id, then leases.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session
from sqlalchemy.sql.selectable import ForUpdateArg

from registry.errors import NotFound
from registry.schema import Base, Tenant

FOR_UPDATE = ForUpdateArg(key_share=True)


def lock_tenant(session: Session, tenant_id: str) -> Tenant:
    """The tenant as it is now, kept from other writers until this transaction ends. Raises NotFound.

    What the session had read of it before is read again: a decision on an older row would be no decision. An erased
    tenant is not found: nothing is written for it any more.
    """
    session.flush()
    tenant = session.get(Tenant, tenant_id, with_for_update=FOR_UPDATE, populate_existing=True)
    if tenant is None or tenant.status == "erased":
        raise NotFound(f"there is no tenant {tenant_id!r}: see `holdfast tenant list`")
    return tenant


def keep_tenant(session: Session, tenant_id: str) -> bool:
    """Whether the tenant is there; if so it is not erased before this transaction ends. Many may keep it at once."""
    query = select(Tenant.status).where(Tenant.id == tenant_id).with_for_update(read=True)
    return session.scalar(query) not in (None, "erased")


def insert_if_absent(session: Session, table: type[Base], **values: Any) -> bool:  # noqa: ANN401 - a row's columns
    """Add a row unless one with its key is there already; whether this call added it."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    key = [column for column in table.__table__.columns if column.primary_key]
    statement = dialect.insert(table).values(**values).on_conflict_do_nothing().returning(*key)
    return session.execute(statement).first() is not None
