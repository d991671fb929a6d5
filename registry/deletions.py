"""Deletions that wait for a person: looked at, then confirmed or rejected by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from registry import changelog
from registry.crash_points import crash_point
from registry.errors import NotFound, RegistryError
from registry.schema import Change, TenantCommit

SHORTEST_PREFIX = 6


@dataclass(frozen=True, slots=True)
class HeldCommit:
    """A commit whose deletions wait, and the keys that it deleted (renames left out)."""

    source_id: int
    source: str
    commit: TenantCommit
    documents: tuple[str, ...]


def held(
    session: Session, tenant_id: str, source: str | None = None, *, locked: bool = False
) -> list[HeldCommit]:
    """What waits for a person, oldest first, source by source; `locked` until a decision about it is committed."""
    return [
        HeldCommit(row.Source.id, row.Source.name, row.TenantCommit, _deleted(session, row.TenantCommit))
        for row in changelog.held_commits(session, tenant_id, locked=locked)
        if source is None or row.Source.name == source
    ]


def decide(
    session: Session,
    tenant_id: str,
    decision: Literal["confirmed", "rejected"],
    by: str,
    now: datetime,
    source: str | None = None,
    positions: Sequence[str] = (),
) -> list[HeldCommit]:
    """Confirm or reject held commits (all of them unless positions are given) and give those.

    A position may be shortened to its first six characters or more. Raises NotFound for one that is not
    held, RegistryError for one that is ambiguous.
    """
    # What the source mends just now is decided already: a capture that lets it go is waited for.
    waiting = held(session, tenant_id, source, locked=True)
    chosen = [_named(waiting, position) for position in dict.fromkeys(positions)] if positions else waiting
    for found in chosen:
        changelog.set_hold(session, tenant_id, found.source_id, [found.commit.seq], decision, by, now)
    crash_point("decide:before-commit")
    return chosen


def _named(waiting: Sequence[HeldCommit], position: str) -> HeldCommit:
    exact = [found for found in waiting if found.commit.position == position]
    matching = exact or [
        found
        for found in waiting
        if len(position) >= SHORTEST_PREFIX and found.commit.position.startswith(position)
    ]
    if not matching:
        raise NotFound(f"no held commit is at position {position!r}: see `holdfast deletion list`")
    if len(matching) > 1:
        raise RegistryError(f"several held commits are at {position!r}: give the whole position, or --source")
    return matching[0]


def _deleted(session: Session, commit: TenantCommit) -> tuple[str, ...]:
    query = (
        select(Change.key)
        .where(
            Change.scope == commit.scope,
            Change.source_id == commit.source_id,
            Change.seq == commit.seq,
            Change.op == "delete",
            Change.moved.is_(False),
        )
        .order_by(Change.key)
    )
    return tuple(session.scalars(query))
