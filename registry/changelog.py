"""The change log: captured commits, each appended in one transaction with its source's new position."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Row, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from registry.moves import Arrival, Deletion, ended
from registry.schema import Change, Head, Source, SourceCommit, TenantCommit
from registry.source_rows import SourceRows
from registry.tenants import is_erased


@dataclass(frozen=True, slots=True)
class PinnedAt:
    """A source's place in a generation: everything up to `seq` is in, nothing after it."""

    source_id: int
    seq: int
    epoch: int
    position: str
    committed_at: datetime
    quiescent: bool


@dataclass(frozen=True, slots=True)
class DocumentKey:
    """A document within a tenant."""

    source_id: int
    key: str


def is_captured(session: Session, source_id: int, epoch: int, position: str) -> bool:
    """Whether this commit is in the log already."""
    query = select(SourceCommit.seq).where(
        SourceCommit.source_id == source_id, SourceCommit.epoch == epoch, SourceCommit.position == position
    )
    return session.scalar(query) is not None


def tenant_commits(session: Session, tenant_id: str, source_id: int, after_seq: int) -> list[TenantCommit]:
    """A tenant's commits of one source after `after_seq`, in order."""
    query = (
        select(TenantCommit)
        .where(
            TenantCommit.scope == tenant_id,
            TenantCommit.source_id == source_id,
            TenantCommit.seq > after_seq,
        )
        .order_by(TenantCommit.seq)
    )
    return list(session.scalars(query))


def held_commits(
    session: Session, tenant_id: str, *, locked: bool = False
) -> list[Row[TenantCommit, Source]]:
    """Commits whose deletions wait for a person, with their sources; `locked`: for whoever decides about them."""
    query = (
        select(TenantCommit, Source)
        .join(Source, Source.id == TenantCommit.source_id)
        .where(TenantCommit.scope == tenant_id, TenantCommit.hold == "held")
        .order_by(TenantCommit.source_id, TenantCommit.seq)
    )
    return list(session.execute(query.with_for_update(of=TenantCommit) if locked else query))


def set_hold(
    session: Session, tenant_id: str, source_id: int, seqs: list[int], hold: str, by: str, now: datetime
) -> None:
    """Hold, confirm or reject the deletions of these commits."""
    session.execute(
        update(TenantCommit)
        .where(
            TenantCommit.scope == tenant_id,
            TenantCommit.source_id == source_id,
            TenantCommit.seq.in_(seqs),
        )
        .values(hold=hold, decided_by=by, decided_at=now)
    )


def net_changes(
    session: Session, tenant_id: str, source_id: int, after_seq: int, up_to_seq: int
) -> list[Change]:
    """The newest change of each key in (after_seq, up_to_seq], in key order.

    Deletions that a person rejected do not count; a rename in the same commit does, or its document
    would be there twice.
    """
    rejected = (
        select(TenantCommit.seq)
        .where(
            TenantCommit.scope == tenant_id,
            TenantCommit.source_id == source_id,
            TenantCommit.hold == "rejected",
        )
        .scalar_subquery()
    )
    newest = (
        select(func.max(Change.id))
        .where(
            Change.scope == tenant_id,
            Change.source_id == source_id,
            Change.seq > after_seq,
            Change.seq <= up_to_seq,
            or_(Change.op != "delete", Change.moved, Change.seq.not_in(rejected)),
        )
        .group_by(Change.key)
    )
    found = session.scalars(select(Change).where(Change.id.in_(newest)))
    return sorted(found, key=lambda change: change.key)  # by code point, whatever the database's collation


def hidden_documents(session: Session, tenant_id: str, pins: Mapping[int, int]) -> set[DocumentKey]:
    """Documents absent at any captured commit after a generation's pins (`{source: seq}`), thus hidden in it.

    A document whose content moved to another key stays visible until publication, as long as it is not
    deleted there; deletions that are held or were rejected hide nothing.
    """
    if not pins:
        return set()
    after = or_(*(and_(Change.source_id == s, Change.seq > seq) for s, seq in pins.items()))
    query = (
        select(Change.source_id, Change.key, Change.seq, Change.moved, Change.content_sha256)
        .join(
            TenantCommit,
            and_(
                TenantCommit.scope == Change.scope,
                TenantCommit.source_id == Change.source_id,
                TenantCommit.seq == Change.seq,
            ),
        )
        .where(
            Change.scope == tenant_id,
            Change.op == "delete",
            or_(Change.moved, TenantCommit.hold.in_(("", "confirmed"))),
            after,
        )
    )
    deletions = [Deletion(*row) for row in session.execute(query)]
    arrivals = _arrivals(session, tenant_id, after) if any(d.moved for d in deletions) else {}
    return {DocumentKey(source_id, key) for source_id, key in ended(deletions, arrivals)}


def _arrivals(session: Session, tenant_id: str, after: ColumnElement[bool]) -> dict[Arrival, list[str]]:
    """Keys that took over the content of a moved document, by (source, seq, content)."""
    left = aliased(Change)
    moved = exists().where(
        left.scope == tenant_id,
        left.source_id == Change.source_id,
        left.seq == Change.seq,
        left.op == "delete",
        left.moved,
        left.content_sha256 == Change.content_sha256,
    )
    query = select(Change.source_id, Change.seq, Change.content_sha256, Change.key).where(
        Change.scope == tenant_id, Change.op == "upsert", after, moved
    )
    found: dict[Arrival, list[str]] = {}
    for source_id, seq, content, key in session.execute(query):
        found.setdefault((source_id, seq, content), []).append(key)
    return found


def history(session: Session, tenant_id: str, source_id: int, key: str) -> list[tuple[Change, SourceCommit]]:
    """Every captured version of a document, oldest first."""
    query = (
        select(Change, SourceCommit)
        .join(
            SourceCommit,
            and_(SourceCommit.source_id == Change.source_id, SourceCommit.seq == Change.seq),
        )
        .where(Change.scope == tenant_id, Change.source_id == source_id, Change.key == key)
        .order_by(Change.seq)
    )
    return [(change, commit) for change, commit in session.execute(query)]


def changes_by_id(session: Session, ids: list[int]) -> dict[int, Change]:
    """Changes by id, in batches that every database takes."""
    found: dict[int, Change] = {}
    for start in range(0, len(ids), 500):
        query = select(Change).where(Change.id.in_(ids[start : start + 500]))
        found.update((change.id, change) for change in session.scalars(query))
    return found


def waiting(session: Session) -> dict[str, int]:
    """Documents of tenants that do not exist (yet), by the label in the tenant column."""
    query = select(Head.scope, func.count()).where(Head.scope.startswith("?")).group_by(Head.scope)
    return {scope[1:]: count for scope, count in session.execute(query)}


class RegisteredHeads:
    """The newest captured state of a source, read from the registry on demand."""

    def __init__(self, session: Session, source_id: int) -> None:
        self._session = session
        self._source_id = source_id
        self.rows = SourceRows(session, source_id)

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Keys that exist now, in code point order."""
        query = select(Head.key).where(Head.source_id == self._source_id)
        if prefix:
            # Not LIKE: SQLite's does not tell A from a.
            query = query.where(func.substr(Head.key, 1, len(prefix)) == prefix)
        return iter(sorted(self._session.scalars(query)))

    def fingerprint(self, key: str) -> str | None:
        """The fingerprint of the newest captured version."""
        return self._session.scalar(
            select(Head.fingerprint).where(Head.source_id == self._source_id, Head.key == key)
        )

    def erased(self, label: str | None) -> bool:
        """Whether rows with this label belong to a tenant that was erased."""
        return label is not None and is_erased(self._session, label)

    def get(self, key: str) -> Head | None:
        """The whole head of a key."""
        return self._session.get(Head, (self._source_id, key))
