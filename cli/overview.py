"""One tenant at a glance: what is live, how fresh, from which sources, at what size."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cli.formatting import without_password
from pipelines.freshness import freshness
from pipelines.source_costs import index_bytes as index_bytes
from registry import canaries, changelog, contracts, generations, keys, sources
from registry.schema import Source, Tenant, TenantCommit
from registry.settings import Settings

SourceState = Literal["healthy", "failing", "unread"]


@dataclass(frozen=True, slots=True)
class SourceOverview:
    """One source. `tenant` is None where a tenant column shares it among tenants."""

    name: str
    tenant: str | None
    kind: str
    uri: str
    owner: str
    options: dict[str, str]
    consistency: str
    state: SourceState
    position: str | None
    checked_at: datetime | None
    failing_since: datetime | None
    error: str
    dropped: int


@dataclass(frozen=True, slots=True)
class TenantOverview:
    """One tenant. Counts are those of the live generation; `freshness` says it in words."""

    tenant: str
    id: str
    status: str
    created_at: datetime
    live_generation: int | None
    documents: int
    quarantined: int
    chunks: int
    hidden_since: int
    published_at: datetime | None
    positions: dict[str, str]
    fresh: bool
    freshness: str
    held: bool
    held_reason: str
    held_deletions: int
    contract_version: int
    owner: str
    keys: int
    canaries: int
    last_query_at: datetime | None
    index_bytes: int
    sources: list[SourceOverview]


def overview(session: Session, tenant: Tenant, settings: Settings, now: datetime) -> TenantOverview:
    """What there is to know of one tenant, from one snapshot of the registry."""
    live = generations.live(session, tenant.id)
    pins = generations.pins(session, tenant.id, live.number) if live else {}
    fresh = freshness(session, tenant.id, now)
    valid = [
        k for k in keys.of_tenant(session, tenant.id) if not k.revoked_at and not _is_past(k.expires_at, now)
    ]
    return TenantOverview(
        tenant=tenant.name,
        id=tenant.id,
        status=tenant.status,
        created_at=tenant.created_at,
        live_generation=tenant.live_generation,
        documents=live.documents if live else 0,
        quarantined=live.quarantined if live else 0,
        chunks=live.chunks if live else 0,
        hidden_since=len(changelog.hidden_documents(session, tenant.id, {s: p.seq for s, p in pins.items()})),
        published_at=live.published_at if live else None,
        positions=generations.positions(session, tenant.id, live.number) if live else {},
        fresh=fresh.fresh,
        freshness=fresh.summary,
        held=tenant.held_at is not None,
        held_reason=tenant.held_reason,
        held_deletions=_held_deletions(session, tenant.id),
        contract_version=contracts.version(session, tenant.id),
        owner=contracts.current(session, tenant.id).owner,
        keys=len(valid),
        canaries=len(canaries.of_tenant(session, tenant.id)),
        last_query_at=tenant.last_query_at,
        index_bytes=index_bytes(settings, tenant.id),
        sources=[source_overview(source, tenant.name) for source in sources.of_tenant(session, tenant.id)],
    )


def source_overview(source: Source, tenant: str | None) -> SourceOverview:
    """One source as it may be shown: without a password in its address."""
    state: SourceState = "failing" if source.error else ("healthy" if source.checked_at else "unread")
    return SourceOverview(
        name=source.name,
        tenant=tenant if source.tenant_id else None,
        kind=source.kind,
        uri=without_password(source.uri),
        owner=source.owner,
        options=dict(source.options),
        consistency=source.consistency,
        state=state,
        position=source.position,
        checked_at=source.checked_at,
        failing_since=source.failing_since,
        error=without_password(source.error),
        dropped=source.dropped,
    )


def _held_deletions(session: Session, tenant_id: str) -> int:
    held = select(func.count()).where(TenantCommit.scope == tenant_id, TenantCommit.hold == "held")
    return session.scalar(held) or 0


def _is_past(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and moment <= now
