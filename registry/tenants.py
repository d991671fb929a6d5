"""Tenants: made, found, suspended, erased. An id is never given twice."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import datetime

from sqlalchemy import and_, delete, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from registry import contracts, leases
from registry.contract import Contract
from registry.crash_points import crash_point
from registry.errors import AlreadyExists, NotFound, RegistryError, TenantSuspended
from registry.locking import lock_tenant
from registry.schema import (
    Alert,
    ApiKey,
    BuildProgress,
    Canary,
    CanaryAnswer,
    CanaryRun,
    Change,
    Chunk,
    Content,
    ContractVersion,
    DeadLetter,
    EmbeddingUsage,
    Generation,
    GenerationDocument,
    GenerationPin,
    Head,
    Lease,
    ParsedDocument,
    Publication,
    ReplicationSlot,
    RunAttempt,
    RunOutcome,
    Source,
    SourceCommit,
    SourceRow,
    Tenant,
    TenantCommit,
    Vector,
    Verdict,
)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_SHARED = and_(Source.tenant_id.is_(None), Source.removed_at.is_(None))
LONGEST_LABEL = 79  # what a scope of 80 characters leaves beside the question mark


def create(session: Session, name: str, now: datetime, contract: Contract | None = None) -> Tenant:
    """A new tenant with a contract; rows of shared sources that waited under its name become its own."""
    if not NAME.fullmatch(name):
        raise RegistryError(
            f"{name!r} is no tenant name: letters, digits, '.', '_' and '-', at most 63 characters"
        )
    taken = or_(and_(Tenant.name == name, Tenant.status != "erased"), Tenant.id == name)
    if session.scalar(select(Tenant.id).where(taken)):
        raise AlreadyExists(f"tenant {name!r} exists already, or one had that id: choose another name")
    tenant = Tenant(id=f"{name}-{secrets.token_hex(4)}", name=name, status="active", created_at=now)
    session.add(tenant)
    try:
        session.flush()
    except IntegrityError as error:
        raise AlreadyExists(f"tenant {name!r} exists already: another process made it just now") from error
    contracts.store(session, tenant.id, contract or Contract(), now)
    _claim_waiting(session, tenant)
    _claim_dropped(session, tenant)
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
        raise TenantSuspended(
            f"tenant {tenant.name!r} is {tenant.status}: nothing runs and nothing is served"
        )
    return tenant


def require_active(session: Session, tenant_id: str) -> None:
    """Within a write transaction: nothing is written for a tenant that was suspended or erased meanwhile.

    Raises TenantSuspended, NotFound.
    """
    tenant = lock_tenant(session, tenant_id)
    if tenant.status != "active":
        raise TenantSuspended(f"tenant {tenant.name!r} is {tenant.status}: its run stops here")


def active(session: Session) -> list[Tenant]:
    """All active tenants, by name."""
    return list(session.scalars(select(Tenant).where(Tenant.status == "active").order_by(Tenant.name)))


def present(session: Session) -> list[Tenant]:
    """All tenants that were not erased, by name."""
    return list(session.scalars(select(Tenant).where(Tenant.status != "erased").order_by(Tenant.name)))


def is_erased(session: Session, label: str) -> bool:
    """Whether this name or id is that of erased tenants alone."""
    statuses = session.scalars(select(Tenant.status).where(or_(Tenant.name == label, Tenant.id == label)))
    found = set(statuses)
    return found == {"erased"}


def suspend(session: Session, tenant: Tenant, suspended: bool) -> None:
    """Stop (or resume) everything of a tenant: searches, runs, captures into it go on being recorded.

    Raises NotFound for one that was erased meanwhile: it must not come back.
    """
    lock_tenant(session, tenant.id)
    session.execute(
        update(Tenant).where(Tenant.id == tenant.id).values(status="suspended" if suspended else "active")
    )


def erase(session: Session, tenant: Tenant) -> None:
    """Remove every row that holds anything of the tenant's; the id stays taken, the name is free again.

    A capture or a run under way loses its lease. The caller removes the index folder once this is committed.
    Raises NotFound where another erasure was faster.
    """
    # Sources before the tenant, as a capture locks them: what a capture is appending of this tenant goes as well.
    _lock_sources(session, tenant.id)
    lock_tenant(session, tenant.id)
    own = list(session.scalars(select(Source.id).where(Source.tenant_id == tenant.id)))
    for source_id in own:
        leases.bar(session, leases.capture_lease(source_id))
    session.execute(delete(Lease).where(Lease.name == leases.ingest_lease(tenant.id)))
    parsed = select(ParsedDocument.id).where(ParsedDocument.tenant_id == tenant.id)
    runs = select(CanaryRun.id).where(CanaryRun.tenant_id == tenant.id)
    session.execute(delete(CanaryAnswer).where(CanaryAnswer.run_id.in_(runs)))
    for table in (CanaryRun, Canary, Verdict, GenerationDocument, GenerationPin, Generation, Publication):
        session.execute(delete(table).where(table.tenant_id == tenant.id))
    for beside in (DeadLetter, BuildProgress, EmbeddingUsage):
        session.execute(delete(beside).where(beside.tenant_id == tenant.id))
    session.execute(delete(Chunk).where(Chunk.parsed_id.in_(parsed)))
    for by_tenant in (ParsedDocument, Vector, ApiKey, ContractVersion, RunAttempt, RunOutcome, Alert):
        session.execute(delete(by_tenant).where(by_tenant.tenant_id == tenant.id))
    for by_scope in (Change, TenantCommit, Content, Head):
        session.execute(delete(by_scope).where(by_scope.scope == tenant.id))
    session.execute(delete(SourceCommit).where(SourceCommit.source_id.in_(own)))
    session.execute(delete(SourceRow).where(SourceRow.source_id.in_(own)))
    session.execute(delete(ReplicationSlot).where(ReplicationSlot.source_id.in_(own)))
    # Of a shared source's rows what tells them apart must stay: later changes would not be understood.
    blank_row = {"body": None, "key": ""}
    session.execute(update(SourceRow).where(SourceRow.scope == tenant.id).values(blank_row))
    _blank_sources(session, own, tenant.created_at)
    blank = {"status": "erased", "live_generation": None, "held_at": None, "held_reason": ""}
    session.execute(update(Tenant).where(Tenant.id == tenant.id).values(**blank))
    crash_point("erase:before-commit")


def _lock_sources(session: Session, tenant_id: str) -> None:
    """Let captures that may hold anything of a tenant end, and none begin."""
    query = select(Source.id).where(or_(Source.tenant_id == tenant_id, _SHARED)).order_by(Source.id)
    session.execute(query.with_for_update(key_share=True))


def _blank_sources(session: Session, ids: list[int], removed_at: datetime) -> None:
    # The empty rows stay, so that no later source is given their ids and finds what these left in a cache.
    session.execute(
        update(Source)
        .where(Source.id.in_(ids))
        .values(
            tenant_id=None, name="erased", removed_at=removed_at, uri="", owner="", options={},
            cursor_state={}, position=None, error="",
        )
    )  # fmt: skip


def waiting_scope(label: str) -> str:
    """The scope of rows whose tenant does not exist yet; a label too long for a name is cut and digested."""
    if len(label) > LONGEST_LABEL:
        label = f"{label[: LONGEST_LABEL - 17]}~{hashlib.sha256(label.encode()).hexdigest()[:16]}"
    return f"?{label}"


def _claim_waiting(session: Session, tenant: Tenant) -> None:
    # A capture of a shared source that began without this tenant must end before its rows are claimed.
    session.execute(select(Source.id).where(_SHARED).order_by(Source.id).with_for_update(key_share=True))
    waiting = waiting_scope(tenant.name)
    for table in (Change, TenantCommit, Content, Head, SourceRow):
        session.execute(update(table).where(table.scope == waiting).values(scope=tenant.id))


def _claim_dropped(session: Session, tenant: Tenant) -> None:
    # What shared sources had said of an erased tenant of this name is gone: the rows that change from now on
    # alone would make a state that never was. Hence a snapshot, and no more of a look that is under way.
    namesake = select(Tenant.id).where(Tenant.name == tenant.name, Tenant.status == "erased").limit(1)
    if session.scalar(namesake) is None:
        return
    ids = list(session.scalars(select(Source.id).where(_SHARED).order_by(Source.id)))
    session.execute(update(Source).where(Source.id.in_(ids)).values(position=None))
    for source_id in ids:
        leases.revoke(session, leases.capture_lease(source_id))
