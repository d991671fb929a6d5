"""Builds under way: written by the run, read by whoever waits for it. And what embedding took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from sqlalchemy import delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from registry import leases
from registry.schema import BuildProgress, EmbeddingUsage, Lease

Kind = Literal["first", "reindex", "update"]


@dataclass(frozen=True, slots=True)
class Build:
    """How far a build is in its present stage. `running` is false where its run died and left this behind.

    `done` and `left` are documents (stage documents), texts (embeddings) or chunks (index); `rate` is units a
    second in this run, `eta_seconds` what is left of the stage at that rate; both are empty until known.
    """

    tenant_id: str
    run: str
    kind: str
    reason: str
    stage: str
    done: int
    left: int
    rate: float | None
    eta_seconds: float | None
    running: bool
    started_at: datetime
    updated_at: datetime

    @property
    def backfill(self) -> bool:
        """Whether it builds everything, not only what changed."""
        return self.kind in ("first", "reindex")


def begin(session: Session, tenant_id: str, run: str, kind: Kind, reason: str, now: datetime) -> None:
    """Note that a run builds a tenant's next generation, in the place of whatever was noted before."""
    session.merge(
        BuildProgress(
            tenant_id=tenant_id, run=run, kind=kind, reason=reason, stage="", total=0, ready=0, done=0,
            started_at=now, stage_started_at=now, updated_at=now,
        )
    )  # fmt: skip


def note_stage(
    session: Session, tenant_id: str, run: str, stage: str, total: int, ready: int, now: datetime
) -> None:
    """A stage of `total` units begins, `ready` of them done before."""
    row = _own(session, tenant_id, run)
    if row is not None:
        row.stage, row.total, row.ready, row.done = stage, total, ready, ready
        row.stage_started_at = row.updated_at = now


def note_done(session: Session, tenant_id: str, run: str, done: int, now: datetime) -> None:
    """So many units of the stage are done by now, those that were ready included."""
    row = _own(session, tenant_id, run)
    if row is not None:
        row.done, row.updated_at = done, now


def end(session: Session, tenant_id: str, run: str) -> None:
    """This run builds nothing for a tenant any more; another run's progress is left alone."""
    session.execute(
        delete(BuildProgress).where(BuildProgress.tenant_id == tenant_id, BuildProgress.run == run)
    )


def _own(session: Session, tenant_id: str, run: str) -> BuildProgress | None:
    row = session.get(BuildProgress, tenant_id)
    return row if row is not None and row.run == run else None


def under_way(session: Session, now: datetime, tenant_id: str | None = None) -> list[Build]:
    """Builds that run, and those that were cut off and go on with the next ingest, by tenant."""
    query = select(BuildProgress).order_by(BuildProgress.tenant_id)
    if tenant_id is not None:
        query = query.where(BuildProgress.tenant_id == tenant_id)
    return [_build(row, _is_running(session, row, now)) for row in session.scalars(query)]


def _build(row: BuildProgress, running: bool) -> Build:
    seconds = (row.updated_at - row.stage_started_at).total_seconds()
    done_here, left = row.done - row.ready, max(row.total - row.done, 0)
    rate = done_here / seconds if seconds > 0 and done_here else None
    eta = left / rate if rate and running else None
    return Build(
        row.tenant_id, row.run, row.kind, row.reason, row.stage, row.done, left, rate if running else None, eta,
        running, row.started_at, row.updated_at,
    )  # fmt: skip


def _is_running(session: Session, row: BuildProgress, now: datetime) -> bool:
    lease = session.get(Lease, leases.ingest_lease(row.tenant_id))
    if lease is None or lease.expires_at is None or lease.expires_at <= now:
        return False
    holder = leases.Holder.decode(lease.holder)
    return holder.name == row.run and not holder.is_dead()


def add_usage(session: Session, tenant_id: str, texts: Mapping[int, int], seconds: float, day: date) -> None:
    """Count embedded texts by source ({source: texts}); the seconds are shared out by them."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    total = sum(texts.values())
    for source_id, count in sorted(texts.items()):
        row = {
            "tenant_id": tenant_id, "source_id": source_id, "day": day, "texts": count,
            "seconds": seconds * count / total,
        }  # fmt: skip
        added = dialect.insert(EmbeddingUsage).values(**row)
        session.execute(
            added.on_conflict_do_update(
                index_elements=["tenant_id", "source_id", "day"],
                set_={
                    "texts": EmbeddingUsage.texts + added.excluded.texts,
                    "seconds": EmbeddingUsage.seconds + added.excluded.seconds,
                },
            )
        )


def usage(session: Session, tenant_id: str, source_id: int, since: date) -> tuple[int, float]:
    """Texts embedded for a source's documents of a tenant since that day (inclusive), and the seconds it took."""
    query = select(func.sum(EmbeddingUsage.texts), func.sum(EmbeddingUsage.seconds)).where(
        EmbeddingUsage.tenant_id == tenant_id,
        EmbeddingUsage.source_id == source_id,
        EmbeddingUsage.day >= since,
    )
    texts, seconds = session.execute(query).one()
    return int(texts or 0), float(seconds or 0.0)
