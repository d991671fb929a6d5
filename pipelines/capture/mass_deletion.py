"""The hold on mass deletions: an accident at the source must not empty an index.

A commit is held when the net deletions since the live generation, its own included, exceed the contract's
share of the source's documents that it serves. What is in quarantine there and never was served counts neither
way: nobody loses it. Held commits do not count towards the next one, so that a single deletion after an accident
still takes effect at once. One document is never a mass.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from pipelines.capture.effects import CommitEffect, KeyChange, LiveDocuments
from registry import alerts, changelog, contracts, generations
from registry.schema import Change, GenerationDocument, Head, Source, TenantCommit

SMALLEST_MASS = 2


def offending(effects: Sequence[CommitEffect], live_documents: int, share: float) -> list[int]:
    """Numbers of the commits, undecided so far, that must be held."""
    allowed = max(share * live_documents, SMALLEST_MASS - 1)
    net: set[str] = set()
    found: list[int] = []
    for effect in effects:
        after = (net - effect.restored) | effect.deleted
        if effect.hold in ("held", "confirmed", "rejected", "restored"):
            net -= effect.restored
        elif effect.deleted and len(after) > allowed:
            found.append(effect.seq)
            net -= effect.restored
        else:
            net = after
    return found


def hold_mass_deletions(session: Session, tenant_id: str, source: Source, now: datetime) -> list[int]:
    """Hold a tenant's newest commit if its deletions are a mass, and raise an alert; gives what was held."""
    live = generations.live(session, tenant_id)
    pin = generations.pins(session, tenant_id, live.number).get(source.id) if live else None
    if live is None or pin is None:
        return []
    commits = changelog.tenant_commits(session, tenant_id, source.id, pin.seq)
    if not any(commit.deletes for commit in commits):
        return []
    served = _served(session, tenant_id, source.id, live.number)
    effects = _effects(session, tenant_id, source.id, served, commits)
    share = contracts.current(session, tenant_id).mass_deletion_share
    # Only the newest commit can be held: what an earlier one deleted is hidden already, and stays so.
    held = [seq for seq in offending(effects, len(served), share) if seq == commits[-1].seq]
    if held:
        changelog.set_hold(session, tenant_id, source.id, held, "held", "", now)
        _alert(session, tenant_id, source, [e for e in effects if e.seq in held], commits, len(served), now)
    return held


def release_restored(session: Session, tenant_id: str, source_id: int, now: datetime) -> list[int]:
    """Let go of held commits whose documents all came back: the accident was mended at the source."""
    held = session.scalars(
        select(TenantCommit).where(
            TenantCommit.scope == tenant_id, TenantCommit.source_id == source_id, TenantCommit.hold == "held"
        )
    ).all()
    mended = [commit.seq for commit in held if not _still_absent(session, tenant_id, source_id, commit.seq)]
    if mended:
        changelog.set_hold(session, tenant_id, source_id, mended, "restored", "the source", now)
    return mended


def _still_absent(session: Session, tenant_id: str, source_id: int, seq: int) -> bool:
    present = select(Head.key).where(Head.source_id == source_id, Head.scope == tenant_id)
    query = _deletions(tenant_id, source_id, seq).where(Change.key.not_in(present)).limit(1)
    return session.execute(query).first() is not None


def _deletions(tenant_id: str, source_id: int, seq: int) -> Select[str]:
    return select(Change.key).where(
        Change.scope == tenant_id,
        Change.source_id == source_id,
        Change.seq == seq,
        Change.op == "delete",
        Change.moved.is_(False),
    )


def _served(session: Session, tenant_id: str, source_id: int, live: int) -> set[str]:
    """Keys of a source's documents of which the live generation has chunks to serve, stale ones too."""
    query = select(GenerationDocument.key).where(
        GenerationDocument.tenant_id == tenant_id,
        GenerationDocument.generation == live,
        GenerationDocument.source_id == source_id,
        GenerationDocument.state != "quarantined",
    )
    return set(session.scalars(query))


def _effects(
    session: Session, tenant_id: str, source_id: int, served: set[str], commits: Sequence[TenantCommit]
) -> list[CommitEffect]:
    query = (
        select(Change.seq, Change.op, Change.key, Change.moved, Change.content_sha256)
        .where(Change.scope == tenant_id, Change.source_id == source_id, Change.seq >= commits[0].seq)
        .order_by(Change.seq)
    )
    changes: dict[int, list[KeyChange]] = {}
    for seq, op, key, moved, content in session.execute(query):
        changes.setdefault(seq, []).append(KeyChange(op, key, moved, content))
    documents = LiveDocuments(served)
    return [
        CommitEffect(commit.seq, commit.hold, *documents.apply(changes.get(commit.seq, ())))
        for commit in commits
    ]


def _alert(
    session: Session,
    tenant_id: str,
    source: Source,
    held: Sequence[CommitEffect],
    commits: Sequence[TenantCommit],
    documents: int,
    now: datetime,
) -> None:
    gone = len(frozenset[str]().union(*(effect.deleted for effect in held)))
    positions = {commit.seq: commit.position for commit in commits}
    alerts.raise_alert(
        session,
        tenant_id,
        "mass_deletion_held",
        f"deletions of {gone} of {documents} documents of source {source.name} wait for a person: "
        "`holdfast deletion list`, then confirm or reject",
        {"source": source.name, "commits": [positions[effect.seq] for effect in held]},
        now,
    )
