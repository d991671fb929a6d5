"""How a tenant's sources are: read when, up to where, or failing since when and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, case, func, select
from sqlalchemy.orm import Session

from pipelines.build.manifest import DELETION_REJECTED
from registry import contracts, dead_letters, generations, slots, sources
from registry.schema import DeadLetter, GenerationDocument, Source


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """One source's state at its last look. `retained_bytes`: WAL that its slot holds back, where it has one."""

    name: str
    owner: str
    healthy: bool
    summary: str
    position: str | None
    failing_since: datetime | None
    seconds_since_look: float | None
    retained_bytes: int | None = None


def source_health(session: Session, tenant_id: str, now: datetime) -> list[SourceHealth]:
    """The health of every source that feeds a tenant."""
    found = []
    for source in sources.of_tenant(session, tenant_id):
        age = (now - source.checked_at).total_seconds() if source.checked_at else None
        summary = f"at {source.position}" if source.position else "nothing captured yet"
        if source.error:
            summary = f"failing since {source.failing_since:%Y-%m-%d %H:%M} UTC: {source.error}"
        slot = slots.of_source(session, source.id)
        danger = slots.danger(slot) if slot else ""
        if danger:
            summary = f"{summary}; {danger}" if source.error else danger
        found.append(
            SourceHealth(
                source.name,
                source.owner,
                not source.error and not danger,
                summary,
                source.position,
                source.failing_since or (slot.danger_since if slot else None),
                age,
                slot.retained_bytes if slot else None,
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class Quarantine:
    """One source's documents in the live generation: all, in quarantine (stale ones too), and dropped."""

    source: str
    documents: int
    failed: int
    dropped: int

    @property
    def share(self) -> float:
        """Of the documents, those in quarantine; a dropped version no longer counts as one."""
        return self.failed / self.documents


def quarantine(session: Session, tenant_id: str) -> list[Quarantine]:
    """Documents of the live generation whose version could not be read or parsed, by source."""
    live = generations.live(session, tenant_id)
    if live is None:
        return []
    manifest, letter = GenerationDocument, DeadLetter
    failed = manifest.error.not_in(("", DELETION_REJECTED))
    was_dropped = and_(failed, letter.change_id.is_not(None))
    query = (
        select(
            Source.name,
            func.count(),
            func.sum(case((and_(failed, letter.change_id.is_(None)), 1), else_=0)),
            func.sum(case((was_dropped, 1), else_=0)),
        )
        .select_from(manifest)
        .join(Source, Source.id == manifest.source_id)
        .outerjoin(
            letter,
            and_(
                letter.tenant_id == manifest.tenant_id,
                letter.change_id == manifest.wanted_id,
                letter.state == dead_letters.DROPPED,
            ),
        )
        .where(manifest.tenant_id == tenant_id, manifest.generation == live.number)
        .group_by(Source.name)
        .order_by(Source.name)
    )
    return [
        Quarantine(name, total, int(failing), int(left_out))
        for name, total, failing, left_out in session.execute(query)
    ]


def in_quarantine(session: Session, tenant_id: str) -> dict[str, float]:
    """Sources whose share of documents in quarantine is above the contract's, and that share."""
    allowed = contracts.current(session, tenant_id).quarantine_share
    return {found.source: found.share for found in quarantine(session, tenant_id) if found.share > allowed}
