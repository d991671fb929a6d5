"""Contracts in the registry: versioned, the newest in force."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from registry.contract import Contract
from registry.errors import NotFound
from registry.locking import lock_tenant
from registry.schema import ContractVersion


def current(session: Session, tenant_id: str) -> Contract:
    """The contract in force. Raises NotFound."""
    body = session.scalar(
        select(ContractVersion.body)
        .where(ContractVersion.tenant_id == tenant_id)
        .order_by(ContractVersion.version.desc())
        .limit(1)
    )
    if body is None:
        raise NotFound(f"tenant {tenant_id} has no contract")
    return Contract.model_validate(body)


def version(session: Session, tenant_id: str) -> int:
    """The number of the contract in force; 0 where there is none."""
    newest = select(func.max(ContractVersion.version)).where(ContractVersion.tenant_id == tenant_id)
    return session.scalar(newest) or 0


def store(session: Session, tenant_id: str, contract: Contract, now: datetime) -> int:
    """Put a contract in force and give its version. One that changes nothing stores nothing."""
    lock_tenant(session, tenant_id)
    newest = version(session, tenant_id)
    if newest and current(session, tenant_id).hash == contract.hash:
        return newest
    session.add(
        ContractVersion(
            tenant_id=tenant_id,
            version=newest + 1,
            body=contract.model_dump(mode="json"),
            hash=contract.hash,
            created_at=now,
        )
    )
    session.flush()
    return newest + 1
