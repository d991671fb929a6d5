"""How a tenant's sources are: read when, up to where, or failing since when and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from registry import contracts, generations, sources
from registry.schema import GenerationDocument, Source


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """One source's state at its last look."""

    name: str
    owner: str
    healthy: bool
    summary: str
    position: str | None
    failing_since: datetime | None
    seconds_since_look: float | None


def source_health(session: Session, tenant_id: str, now: datetime) -> list[SourceHealth]:
    """The health of every source that feeds a tenant."""
    found = []
    for source in sources.of_tenant(session, tenant_id):
        age = (now - source.checked_at).total_seconds() if source.checked_at else None
        summary = f"at {source.position}" if source.position else "nothing captured yet"
        if source.error:
            summary = f"failing since {source.failing_since:%Y-%m-%d %H:%M} UTC: {source.error}"
        found.append(
            SourceHealth(
                source.name,
                source.owner,
                not source.error,
                summary,
                source.position,
                source.failing_since,
                age,
            )
        )
    return found


def in_quarantine(session: Session, tenant_id: str) -> dict[str, float]:
    """Sources whose share of documents in the live generation that cannot be read is above the contract's."""
    live = generations.live(session, tenant_id)
    if live is None:
        return {}
    allowed = contracts.current(session, tenant_id).quarantine_share
    query = (
        select(Source.name, func.count(), func.sum(case((GenerationDocument.error != "", 1), else_=0)))
        .join(Source, Source.id == GenerationDocument.source_id)
        .where(GenerationDocument.tenant_id == tenant_id, GenerationDocument.generation == live.number)
        .group_by(Source.name)
    )
    shares = {name: int(failed) / total for name, total, failed in session.execute(query)}
    return {name: share for name, share in shares.items() if share > allowed}
