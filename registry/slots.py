"""Replication slots as they were at the last look: what holding them costs the source."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete
from sqlalchemy.orm import Session

from registry.schema import ReplicationSlot


def record(
    session: Session,
    source_id: int,
    now: datetime,
    *,
    name: str,
    wal_status: str,
    retained_bytes: int,
    safe_bytes: int | None,
    limit_bytes: int,
    oldest: str,
) -> None:
    """Note how a source's slot is. Its age counts from when `oldest` (never empty) was first seen."""
    slot = session.get(ReplicationSlot, source_id)
    if slot is None:
        slot = ReplicationSlot(source_id=source_id, oldest="")
        session.add(slot)
    if slot.oldest != oldest:
        slot.oldest, slot.held_since = oldest, now
    slot.name, slot.wal_status, slot.observed_at = name, wal_status, now
    slot.retained_bytes, slot.safe_bytes, slot.limit_bytes = retained_bytes, safe_bytes, limit_bytes
    slot.danger_since = (slot.danger_since or now) if danger(slot) else None


def of_source(session: Session, source_id: int) -> ReplicationSlot | None:
    """A source's slot at the last look, None where the source has none."""
    return session.get(ReplicationSlot, source_id)


def held_seconds(slot: ReplicationSlot, now: datetime) -> float:
    """How long the oldest log record that the slot needs has been that one; 0 where it holds nothing back."""
    return max((now - slot.held_since).total_seconds(), 0.0) if slot.retained_bytes else 0.0


def danger(slot: ReplicationSlot) -> str:
    """Why this slot endangers its server or itself; empty where it does not. Nothing that changes by the minute."""
    if slot.wal_status in ("unreserved", "lost"):
        return f"replication slot {slot.name} is {slot.wal_status}: the server is giving up what it retains"
    if slot.retained_bytes > slot.limit_bytes:
        return (
            f"replication slot {slot.name} retains more than {slot.limit_bytes / 2**20:,.0f} MB of WAL at the "
            "source: capture does not keep up, or a transaction there has been open for long"
        )
    return ""


def forget(session: Session, source_id: int) -> None:
    """A source no longer has a slot."""
    session.execute(delete(ReplicationSlot).where(ReplicationSlot.source_id == source_id))
