"""What decides between concurrent writers: the tenant's row as a lock, and rows that only one may add.

On SQLite a write transaction is alone and neither is needed; on PostgreSQL both are.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from registry.errors import NotFound
from registry.schema import Base, Tenant


def lock_tenant(session: Session, tenant_id: str) -> Tenant:
    """The tenant as it is now, kept from other writers until this transaction ends. Raises NotFound.

    What the session had read of it before is read again: a decision on an older row would be no decision.
    """
    session.flush()
    tenant = session.get(Tenant, tenant_id, with_for_update=True, populate_existing=True)
    if tenant is None:
        raise NotFound(f"there is no tenant {tenant_id!r}: see `holdfast tenant list`")
    return tenant


def insert_if_absent(session: Session, table: type[Base], **values: Any) -> bool:  # noqa: ANN401 - a row's columns
    """Add a row unless one with its key is there already; whether this call added it."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    key = [column for column in table.__table__.columns if column.primary_key]
    statement = dialect.insert(table).values(**values).on_conflict_do_nothing().returning(*key)
    return session.execute(statement).first() is not None
