"""Tenants that plainly have nothing to apply, found for all of them at once.

Of a thousand tenants nearly all rest at any moment. To ask each of them costs milliseconds, at every look; to ask
about all costs a handful of statements. Whoever is not found here is looked at closely.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, and_, exists, select
from sqlalchemy.orm import Session

from pipelines.build.configuration import BuildConfiguration
from registry import dead_letters
from registry.schema import Generation, GenerationPin, Source, Tenant, TenantCommit

_LIVE_PIN = and_(GenerationPin.tenant_id == Tenant.id, GenerationPin.generation == Tenant.live_generation)
_newer = exists().where(
    TenantCommit.source_id == GenerationPin.source_id,
    TenantCommit.scope == GenerationPin.tenant_id,
    TenantCommit.seq > GenerationPin.seq,
)
_feeds = exists().where(TenantCommit.source_id == Source.id, TenantCommit.scope == Tenant.id)
_pinned = exists().where(_LIVE_PIN, GenerationPin.source_id == Source.id).correlate(Tenant, Source)


def at_rest(session: Session, configuration: BuildConfiguration) -> set[str]:
    """Ids of tenants whose live generation holds all there is, built as `configuration` builds.

    No commit after its pins, no source without a pin that has any, none removed, no dead letter to be tried again.
    """
    moved = {tenant_id for query in _moves() for tenant_id in session.scalars(query)}
    moved |= dead_letters.pending_tenants(session)
    return _built_alike(session, configuration) - moved


def _built_alike(session: Session, configuration: BuildConfiguration) -> set[str]:
    live = (Generation.tenant_id == Tenant.id) & (Generation.number == Tenant.live_generation)
    wanted = configuration.as_dict()
    rows = session.execute(select(Tenant.id, Generation.build).join(Generation, live))
    return {tenant_id for tenant_id, build in rows if build == wanted}


def _moves() -> list[Select[Any]]:
    pinned = select(Tenant.id).join(GenerationPin, _LIVE_PIN)
    there = (Source.removed_at.is_(None), ~_pinned, _feeds)
    return [
        pinned.where(_newer),
        pinned.join(Source, Source.id == GenerationPin.source_id).where(Source.removed_at.is_not(None)),
        select(Tenant.id).join(Source, Source.tenant_id == Tenant.id).where(*there),
        select(Tenant.id).join(Source, Source.tenant_id.is_(None)).where(*there),
    ]
