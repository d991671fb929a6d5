"""The documents of a generation: the live manifest plus what changed up to the pins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session, aliased

from registry import changelog, generations
from registry.changelog import DocumentKey, PinnedAt
from registry.schema import Change, Generation, GenerationDocument, TenantCommit


@dataclass(frozen=True, slots=True)
class Wanted:
    """A document at the pin: the change that holds its version, and its row in the base, if any.

    `kept` marks a document whose deletion a person rejected: it stays, marked stale. `returned` marks one
    that was deleted since the base and came back: what the base holds of it is nothing to fall back to.
    """

    document: DocumentKey
    change_id: int
    base: GenerationDocument | None
    kept: bool = False
    returned: bool = False

    @property
    def is_new_version(self) -> bool:
        """Whether the base holds another version of this document, or none."""
        return self.base is None or self.base.wanted_id != self.change_id


@dataclass(frozen=True, slots=True)
class DocumentSet:
    """All documents at the pins, and those of the base that are gone."""

    wanted: tuple[Wanted, ...]
    gone: tuple[GenerationDocument, ...]

    @property
    def added(self) -> int:
        return sum(w.base is None for w in self.wanted)

    @property
    def changed(self) -> int:
        return sum(w.base is not None and w.is_new_version for w in self.wanted)


def document_set(
    session: Session, tenant_id: str, base: Generation | None, pins: Sequence[PinnedAt]
) -> DocumentSet:
    """The documents at these pins, by difference from the base; without a base, from the whole log."""
    rows = generations.documents(session, tenant_id, base.number) if base else []
    of_base = {DocumentKey(row.source_id, row.key): row for row in rows}
    after = (
        {s: pin.seq for s, pin in generations.pins(session, tenant_id, base.number).items()} if base else {}
    )
    wanted: dict[DocumentKey, Wanted] = {}
    for pin in pins:
        kept = _kept_against_deletion(session, tenant_id, pin)
        for key, row in of_base.items():
            if key.source_id == pin.source_id:
                wanted[key] = Wanted(key, row.wanted_id, row, key.key in kept)
        changes = changelog.net_changes(
            session, tenant_id, pin.source_id, after.get(pin.source_id, 0), pin.seq
        )
        went = _deleted_since(session, tenant_id, pin, after.get(pin.source_id, 0))
        _apply(changes, of_base, wanted, kept, went)
    gone = tuple(row for key, row in of_base.items() if key not in wanted)
    ordered = sorted(wanted.values(), key=lambda w: (w.document.source_id, w.document.key))
    return DocumentSet(tuple(ordered), gone)


def _apply(
    changes: Iterable[Change],
    of_base: dict[DocumentKey, GenerationDocument],
    wanted: dict[DocumentKey, Wanted],
    kept: set[str],
    went: set[str],
) -> None:
    for change in changes:
        key = DocumentKey(change.source_id, change.key)
        if change.op == "delete":
            wanted.pop(key, None)
        else:
            base = of_base.get(key)
            wanted[key] = Wanted(key, change.id, base, change.key in kept, change.key in went)


def _deleted_since(session: Session, tenant_id: str, pin: PinnedAt, after_seq: int) -> set[str]:
    """Keys that were deleted between the base and the pin, also where a document came back under them."""
    applied = or_(Change.moved, TenantCommit.hold.in_(("", "confirmed")))
    return set(session.scalars(_deletions(tenant_id, pin).where(Change.seq > after_seq, applied)))


def _kept_against_deletion(session: Session, tenant_id: str, pin: PinnedAt) -> set[str]:
    """Keys whose newest change up to the pin is a deletion that a person rejected."""
    later = aliased(Change)
    came_back = select(later.id).where(
        later.scope == tenant_id,
        later.source_id == pin.source_id,
        later.key == Change.key,
        later.seq > Change.seq,
        later.seq <= pin.seq,
    )
    rejected = TenantCommit.hold == "rejected"
    return set(session.scalars(_deletions(tenant_id, pin).where(rejected, ~came_back.exists())))


def _deletions(tenant_id: str, pin: PinnedAt) -> Select[str]:
    """Keys of a source's deletions up to the pin, each beside the tenant's commit that it came with."""
    own_commit = (
        (TenantCommit.scope == Change.scope)
        & (TenantCommit.source_id == Change.source_id)
        & (TenantCommit.seq == Change.seq)
    )
    deleted = (
        Change.scope == tenant_id,
        Change.source_id == pin.source_id,
        Change.seq <= pin.seq,
        Change.op == "delete",
    )
    return select(Change.key).join(TenantCommit, own_commit).where(*deleted)
