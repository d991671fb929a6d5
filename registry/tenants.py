"""Tenants: made, found, suspended, erased. An id is never given twice."""

from __future__ import annotations

import re
import secrets
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from registry import contracts
from registry.contract import Contract
from registry.errors import AlreadyExists, NotFound, RegistryError, TenantSuspended
from registry.schema import (
    ApiKey,
    Canary,
    CanaryAnswer,
    CanaryRun,
    Change,
    Chunk,
    Content,
    Generation,
    GenerationDocument,
    GenerationPin,
    Head,
    ParsedDocument,
    Source,
    Tenant,
    TenantCommit,
    Vector,
    Verdict,
)

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def create(session: Session, name: str, now: datetime, contract: Contract | None = None) -> Tenant:
    """A new tenant with a contract; rows of shared sources that waited under its name become its own."""
    if not NAME.fullmatch(name):
        raise RegistryError(
            f"{name!r} is no tenant name: lower-case letters, digits, '.', '_' and '-', at most 63 characters"
        )
    if session.scalar(select(Tenant.id).where(Tenant.name == name, Tenant.status != "erased")):
        raise AlreadyExists(f"tenant {name!r} exists already")
    tenant = Tenant(id=f"{name}-{secrets.token_hex(4)}", name=name, status="active", created_at=now)
    session.add(tenant)
    session.flush()
    contracts.store(session, tenant.id, contract or Contract(), now)  # type: ignore[call-arg]
    _claim_waiting(session, tenant)
    return tenant


def find(session: Session, name_or_id: str) -> Tenant:
    """The tenant of this name or id. Raises NotFound; an erased tenant is not found by its name."""
    tenant = session.scalar(select(Tenant).where(Tenant.name == name_or_id, Tenant.status != "erased"))
    tenant = tenant or session.get(Tenant, name_or_id)
    if tenant is None or tenant.status == "erased":
        raise NotFound(f"there is no tenant {name_or_id!r}: see `holdfast tenant list`")
    return tenant


def find_active(session: Session, name_or_id: str) -> Tenant:
    """The tenant, unless it is suspended. Raises TenantSuspended, NotFound."""
    tenant = find(session, name_or_id)
    if tenant.status != "active":
        raise TenantSuspended(f"tenant {tenant.name!r} is {tenant.status}: nothing runs and nothing is served")
    return tenant


def active(session: Session) -> list[Tenant]:
    """All active tenants, by name."""
    return list(session.scalars(select(Tenant).where(Tenant.status == "active").order_by(Tenant.name)))


def suspend(session: Session, tenant: Tenant, suspended: bool) -> None:
    """Stop (or resume) everything of a tenant: searches, runs, captures into it go on being recorded."""
    session.execute(
        update(Tenant)
        .where(Tenant.id == tenant.id)
        .values(status="suspended" if suspended else "active")
    )


def erase(session: Session, tenant: Tenant) -> None:
    """Remove every row that holds anything of the tenant's; the id stays taken, the name is free again.

    The caller removes the index folder once this is committed.
    """
    parsed = select(ParsedDocument.id).where(ParsedDocument.tenant_id == tenant.id)
    runs = select(CanaryRun.id).where(CanaryRun.tenant_id == tenant.id)
    session.execute(delete(CanaryAnswer).where(CanaryAnswer.run_id.in_(runs)))
    for table in (CanaryRun, Canary, Verdict, GenerationDocument, GenerationPin, Generation):
        session.execute(delete(table).where(table.tenant_id == tenant.id))
    session.execute(delete(Chunk).where(Chunk.parsed_id.in_(parsed)))
    for by_tenant in (ParsedDocument, Vector, ApiKey):
        session.execute(delete(by_tenant).where(by_tenant.tenant_id == tenant.id))
    for by_scope in (Change, TenantCommit, Content, Head):
        session.execute(delete(by_scope).where(by_scope.scope == tenant.id))
    session.execute(
        update(Source)
        .where(Source.tenant_id == tenant.id)
        .values(removed_at=tenant.created_at, uri="", options={}, cursor_state={})
    )
    session.execute(update(Tenant).where(Tenant.id == tenant.id).values(status="erased", live_generation=None))


def waiting_scope(label: str) -> str:
    """The scope of rows whose tenant does not exist yet."""
    return f"?{label}"


def _claim_waiting(session: Session, tenant: Tenant) -> None:
    waiting = waiting_scope(tenant.name)
    for table in (Change, TenantCommit, Content, Head):
        session.execute(update(table).where(table.scope == waiting).values(scope=tenant.id))
