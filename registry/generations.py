"""Generations: begun, filled, sealed, listed, retired."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from registry.changelog import PinnedAt
from registry.errors import NotFound
from registry.locking import lock_tenant
from registry.schema import Generation, GenerationDocument, GenerationPin, Source, Tenant

SERVABLE = ("live", "retained")


def begin(
    session: Session,
    tenant_id: str,
    *,
    identity: str,
    base: int | None,
    build: dict[str, Any],
    model_id: str,
    average_length_step: int,
    pins: Sequence[PinnedAt],
    fencing_token: int,
    run: str,
    now: datetime,
) -> Generation:
    """A new candidate under a number of its own, with its pins. Older candidates are abandoned."""
    tenant = lock_tenant(session, tenant_id)
    session.execute(
        update(Generation)
        .where(Generation.tenant_id == tenant_id, Generation.status == "candidate")
        .values(status="abandoned")
    )
    number = tenant.next_generation
    tenant.next_generation = number + 1
    generation = Generation(
        tenant_id=tenant_id,
        number=number,
        status="candidate",
        identity=identity,
        base=base,
        build=build,
        model_id=model_id,
        average_length_step=average_length_step,
        quiescent=all(pin.quiescent for pin in pins),
        fencing_token=fencing_token,
        run=run,
        statistics={},
        created_at=now,
    )
    session.add(generation)
    session.flush()
    for pin in pins:
        session.add(_pin_row(tenant_id, number, pin))
    session.flush()
    return generation


def _pin_row(tenant_id: str, number: int, pin: PinnedAt) -> GenerationPin:
    return GenerationPin(
        tenant_id=tenant_id,
        generation=number,
        source_id=pin.source_id,
        seq=pin.seq,
        epoch=pin.epoch,
        position=pin.position,
        committed_at=pin.committed_at,
        quiescent=pin.quiescent,
    )


def add_documents(session: Session, documents: Iterable[dict[str, Any]]) -> None:
    """Write a generation's manifest rows."""
    rows = list(documents)
    for start in range(0, len(rows), 1000):
        session.execute(insert(GenerationDocument), rows[start : start + 1000])


def get(session: Session, tenant_id: str, number: int) -> Generation:
    """One generation. Raises NotFound."""
    found = session.get(Generation, (tenant_id, number))
    if found is None:
        raise NotFound(f"tenant {tenant_id} has no generation {number}: see `holdfast generations`")
    return found


def is_served(session: Session, tenant_id: str, number: int) -> bool:
    """Whether a generation is live or retained."""
    found = session.get(Generation, (tenant_id, number))
    return found is not None and found.status in SERVABLE


def live(session: Session, tenant_id: str) -> Generation | None:
    """The live generation, if there is one."""
    number = session.scalar(select(Tenant.live_generation).where(Tenant.id == tenant_id))
    return None if number is None else get(session, tenant_id, number)


def of_tenant(session: Session, tenant_id: str, statuses: Sequence[str] = ()) -> list[Generation]:
    """A tenant's generations, newest first."""
    query = select(Generation).where(Generation.tenant_id == tenant_id).order_by(Generation.number.desc())
    if statuses:
        query = query.where(Generation.status.in_(statuses))
    return list(session.scalars(query))


def by_identity(session: Session, tenant_id: str, identity: str, status: str) -> Generation | None:
    """The newest generation of this identity and status."""
    query = (
        select(Generation)
        .where(
            Generation.tenant_id == tenant_id,
            Generation.identity == identity,
            Generation.status == status,
        )
        .order_by(Generation.number.desc())
        .limit(1)
    )
    return session.scalar(query)


def pins(session: Session, tenant_id: str, number: int) -> dict[int, GenerationPin]:
    """A generation's pins by source."""
    query = select(GenerationPin).where(
        GenerationPin.tenant_id == tenant_id, GenerationPin.generation == number
    )
    return {pin.source_id: pin for pin in session.scalars(query)}


def positions(session: Session, tenant_id: str, number: int) -> dict[str, str]:
    """A generation's positions by the source's name."""
    query = (
        select(Source.name, GenerationPin.position)
        .join(Source, Source.id == GenerationPin.source_id)
        .where(GenerationPin.tenant_id == tenant_id, GenerationPin.generation == number)
        .order_by(Source.name)
    )
    return dict(session.execute(query).all())


def documents(
    session: Session, tenant_id: str, number: int, source_id: int | None = None
) -> list[GenerationDocument]:
    """A generation's documents in (source, key) order."""
    query = (
        select(GenerationDocument)
        .where(GenerationDocument.tenant_id == tenant_id, GenerationDocument.generation == number)
        .order_by(GenerationDocument.source_id, GenerationDocument.key)
    )
    if source_id is not None:
        query = query.where(GenerationDocument.source_id == source_id)
    return list(session.scalars(query))


def count_documents(session: Session, tenant_id: str, number: int, source_id: int) -> int:
    """How many documents one source has in a generation."""
    query = select(func.count()).where(
        GenerationDocument.tenant_id == tenant_id,
        GenerationDocument.generation == number,
        GenerationDocument.source_id == source_id,
    )
    return session.scalar(query) or 0


def reject(session: Session, generation: Generation) -> None:
    """A candidate that its checks refused. Its identity is not built again until something changes."""
    _set_status(session, generation, "rejected")


def abandon(session: Session, generation: Generation) -> None:
    """A candidate that was never judged."""
    _set_status(session, generation, "abandoned")


def _set_status(session: Session, generation: Generation, status: str) -> None:
    session.execute(
        update(Generation)
        .where(
            Generation.tenant_id == generation.tenant_id,
            Generation.number == generation.number,
            Generation.status == "candidate",
        )
        .values(status=status)
    )


def removable(session: Session, tenant_id: str) -> list[int]:
    """Numbers of generations whose index may go: retired, rejected or abandoned, not removed yet."""
    query = select(Generation.number).where(
        Generation.tenant_id == tenant_id,
        Generation.status.in_(("retired", "rejected", "abandoned")),
        Generation.removed_at.is_(None),
    )
    return list(session.scalars(query))


def record_removal(session: Session, tenant_id: str, number: int, now: datetime) -> None:
    """The index of this generation is gone; its record stays, its document rows go."""
    generation = get(session, tenant_id, number)
    generation.removed_at = now
    session.query(GenerationDocument).filter_by(tenant_id=tenant_id, generation=number).delete()
