"""Dead letters: recorded by builds, listed for people, tried again or dropped by them.

A letter is a version of a document, so a decision about it ends with that version: the next one is tried
afresh. What was decided is part of the identity of what is built next.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session

from registry.errors import NotFound, RegistryError
from registry.locking import lock_tenant
from registry.schema import (
    Change,
    DeadLetter,
    GenerationDocument,
    Head,
    ParsedDocument,
    Source,
    SourceCommit,
    Tenant,
)

WAITING, RETRYING, MENDED, DROPPED = "waiting", "retrying", "mended", "dropped"
LISTED = (WAITING, RETRYING, DROPPED)
# A failure of a generation whose letter asks for another try, or needs none any more.
_TO_TRY = (
    DeadLetter.state.in_((RETRYING, MENDED)),
    GenerationDocument.tenant_id == DeadLetter.tenant_id,
    GenerationDocument.wanted_id == DeadLetter.change_id,
    GenerationDocument.error != "",
)


@dataclass(frozen=True, slots=True)
class Failed:
    """A version that a build could not use. `parsed_id` is empty where its source could not read it."""

    change_id: int
    source_id: int
    key: str
    error: str
    parsed_id: int | None = None
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as people see it: whose version it is, where it was captured, and what became of it."""

    change_id: int
    document: str
    source: str
    fingerprint: str
    position: str
    committed_at: datetime
    state: str
    error: str
    attempts: int
    first_seen: datetime
    last_seen: datetime
    decided_by: str
    parsed_id: int | None

    @property
    def unread(self) -> bool:
        """Whether the source itself could not read it: then only the source can mend it."""
        return self.parsed_id is None


def record(
    session: Session, tenant_id: str, failed: Iterable[Failed], mended: Collection[int], now: datetime
) -> None:
    """Make a tenant's letters those of a build, whose transaction this is.

    `mended` are versions that failed in the live generation and no longer do. A dropped letter stays as it
    is; a retry that a person asked for since this build tried is left for the next one.
    """
    letters = {row.change_id: row for row in _of_tenant(session, tenant_id)}
    failed = list(failed)
    still_to_try = _forgotten(session, [f.parsed_id for f in failed if f.parsed_id is not None])
    kept: set[int] = set()
    for failure in failed:
        kept.add(failure.change_id)
        letter = letters.get(failure.change_id)
        if letter is None:
            session.add(_new(tenant_id, failure, now))
        elif letter.state != DROPPED and failure.parsed_id not in still_to_try:
            _failed_again(letter, failure, now)
    for change_id, letter in letters.items():
        if change_id in mended and letter.state != DROPPED:
            letter.state = MENDED
        elif change_id not in kept and letter.state != DROPPED:
            session.delete(letter)
    session.flush()


def _new(tenant_id: str, failure: Failed, now: datetime) -> DeadLetter:
    return DeadLetter(
        tenant_id=tenant_id, change_id=failure.change_id, source_id=failure.source_id, key=failure.key,
        parsed_id=failure.parsed_id, state=WAITING, error=failure.error, attempts=failure.attempts,
        first_seen=now, last_seen=now,
    )  # fmt: skip


def _failed_again(letter: DeadLetter, failure: Failed, now: datetime) -> None:
    tried = (letter.parsed_id, letter.attempts) != (failure.parsed_id, failure.attempts)
    if tried:
        # Another configuration remembers its own attempts; a letter counts them all.
        letter.attempts = (
            failure.attempts if letter.parsed_id == failure.parsed_id else letter.attempts + failure.attempts
        )
        letter.last_seen = now
    letter.state, letter.error, letter.parsed_id = WAITING, failure.error, failure.parsed_id


def _of_tenant(session: Session, tenant_id: str) -> Sequence[DeadLetter]:
    return session.scalars(select(DeadLetter).where(DeadLetter.tenant_id == tenant_id)).all()


def _forgotten(session: Session, parsed_ids: Sequence[int]) -> set[int]:
    found: set[int] = set()
    for start in range(0, len(parsed_ids), 500):
        query = select(ParsedDocument.id).where(
            ParsedDocument.id.in_(parsed_ids[start : start + 500]), ParsedDocument.forgotten
        )
        found.update(session.scalars(query))
    return found


def dropped(session: Session, tenant_id: str) -> dict[int, str]:
    """Versions that stay out, by change id, and why they failed."""
    query = select(DeadLetter.change_id, DeadLetter.error).where(
        DeadLetter.tenant_id == tenant_id, DeadLetter.state == DROPPED
    )
    return {change_id: error for change_id, error in session.execute(query)}  # noqa: C416 - rows are no pairs


def decisions(session: Session, tenant_id: str) -> list[str]:
    """What people decided about letters, as marks for the identity of what is built next."""
    query = (
        select(DeadLetter.change_id, DeadLetter.state, DeadLetter.retries)
        .where(DeadLetter.tenant_id == tenant_id, or_(DeadLetter.state != WAITING, DeadLetter.retries > 0))
        .order_by(DeadLetter.change_id)
    )
    return [
        f"{change_id}:dropped" if state == DROPPED else f"{change_id}:{retries}"
        for change_id, state, retries in session.execute(query)
    ]


def pending(session: Session, tenant_id: str, live: int) -> bool:
    """Whether the live generation holds a failure that is to be tried again, or that no longer is one."""
    waiting = exists().where(
        *_TO_TRY, DeadLetter.tenant_id == tenant_id, GenerationDocument.generation == live
    )
    return bool(session.scalar(select(waiting)))


def pending_tenants(session: Session) -> set[str]:
    """The tenants of whose live generation `pending` is true."""
    live = Tenant.live_generation == GenerationDocument.generation
    query = select(Tenant.id).where(*_TO_TRY, Tenant.id == DeadLetter.tenant_id, live).distinct()
    return set(session.scalars(query))


def listed(session: Session, tenant_id: str, source: str | None = None) -> list[Letter]:
    """A tenant's letters by source and document; dropped ones while theirs is the newest version."""
    query = _letters(tenant_id)
    if source is not None:
        query = query.where(Source.name == source)
    found = [Letter(*row) for row in session.execute(query)]
    return sorted(found, key=lambda letter: (letter.source, letter.document, letter.change_id))


def _shown() -> ColumnElement[bool]:
    newest = exists().where(
        Head.source_id == DeadLetter.source_id, Head.key == DeadLetter.key, Head.seq == Change.seq
    )
    return and_(
        Source.removed_at.is_(None), DeadLetter.state.in_(LISTED), or_(DeadLetter.state != DROPPED, newest)
    )


def _letters(tenant_id: str) -> Select[*tuple[Any, ...]]:
    return (
        select(
            DeadLetter.change_id, DeadLetter.key, Source.name, Change.fingerprint, SourceCommit.position,
            SourceCommit.committed_at, DeadLetter.state, DeadLetter.error, DeadLetter.attempts,
            DeadLetter.first_seen, DeadLetter.last_seen, DeadLetter.decided_by, DeadLetter.parsed_id,
        )
        .join(Source, Source.id == DeadLetter.source_id)
        .join(Change, Change.id == DeadLetter.change_id)
        .join(SourceCommit, and_(SourceCommit.source_id == Change.source_id, SourceCommit.seq == Change.seq))
        .where(DeadLetter.tenant_id == tenant_id, _shown())
    )  # fmt: skip


def retry(
    session: Session,
    tenant_id: str,
    by: str,
    now: datetime,
    documents: Sequence[str] = (),
    source: str | None = None,
) -> list[Letter]:
    """Forget failures (all that wait, unless documents are named), so that the next build tries them again.

    A dropped one is tried only by name. Raises NotFound for a document that is no dead letter, RegistryError
    for one that its source could not read: only the source can mend that, and it is looked at all the time.
    """
    lock_tenant(session, tenant_id)
    found = listed(session, tenant_id, source)
    chosen = (
        _named(found, documents)
        if documents
        else [letter for letter in found if letter.state != DROPPED and not letter.unread]
    )
    if unread := [letter for letter in chosen if letter.unread]:
        raise RegistryError(
            f"source {unread[0].source} could not read {unread[0].document!r} ({unread[0].error}): mend it "
            "there; the source is looked at all the time, and what is mended there is captured by itself"
        )
    for letter in chosen:
        _decide(session, tenant_id, letter, RETRYING, by, now)
        session.execute(
            update(ParsedDocument).where(ParsedDocument.id == letter.parsed_id).values(forgotten=True)
        )
    return chosen


def drop(
    session: Session,
    tenant_id: str,
    by: str,
    now: datetime,
    documents: Sequence[str] = (),
    source: str | None = None,
) -> list[Letter]:
    """Leave these versions out for good (all that wait, unless documents are named). Raises NotFound."""
    lock_tenant(session, tenant_id)
    found = listed(session, tenant_id, source)
    chosen = _named(found, documents) if documents else [x for x in found if x.state != DROPPED]
    for letter in chosen:
        _decide(session, tenant_id, letter, DROPPED, by, now)
    return chosen


def _named(found: Sequence[Letter], documents: Sequence[str]) -> list[Letter]:
    by_name: dict[str, list[Letter]] = {}
    for letter in found:
        by_name.setdefault(letter.document, []).append(letter)
    chosen: list[Letter] = []
    for document in dict.fromkeys(documents):
        matching = by_name.get(document, [])
        if not matching:
            raise NotFound(f"{document!r} is no dead letter: see `holdfast deadletter list`")
        names = sorted({letter.source for letter in matching})
        if len(names) > 1:
            raise RegistryError(
                f"several sources have a dead letter {document!r}: say which with --source ({', '.join(names)})"
            )
        chosen += matching
    return chosen


def _decide(session: Session, tenant_id: str, letter: Letter, state: str, by: str, now: datetime) -> None:
    values: dict[str, Any] = {"state": state, "decided_by": by, "decided_at": now}
    if state == RETRYING:
        values["retries"] = DeadLetter.retries + 1
    session.execute(
        update(DeadLetter)
        .where(DeadLetter.tenant_id == tenant_id, DeadLetter.change_id == letter.change_id)
        .values(**values)
    )


def counts(session: Session) -> dict[tuple[str, str, str], int]:
    """Letters of all tenants: {(tenant, source, state): how many}, for states that people are shown."""
    query = (
        select(DeadLetter.tenant_id, Source.name, DeadLetter.state, func.count())
        .join(Source, Source.id == DeadLetter.source_id)
        .join(Change, Change.id == DeadLetter.change_id)
        .where(_shown())
        .group_by(DeadLetter.tenant_id, Source.name, DeadLetter.state)
    )
    return {(tenant, source, state): count for tenant, source, state, count in session.execute(query)}
