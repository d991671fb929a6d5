"""Appending one commit to the change log, in the caller's transaction.

Everything of a commit (its content, its changes, the new heads, the source's position) becomes visible
at once. Changes are streamed in batches, so that a commit of any size needs bounded memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import and_, exists, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, aliased

from pipelines.capture.scopes import Scopes
from pipelines.sources.fingerprint import content_digest, fingerprint
from pipelines.sources.source import Change, Commit, Delete, Unreadable, Upsert
from registry.schema import Change as ChangeRow
from registry.schema import Content, Head, Source, SourceCommit, TenantCommit

BATCH = 500


@dataclass(slots=True)
class Appended:
    """What one commit brought, by scope, after changes that change nothing were dropped."""

    seq: int
    upserts: Counter[str] = field(default_factory=Counter)
    deletes: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    dropped: int = 0

    @property
    def scopes(self) -> set[str]:
        """Every scope that this commit touched."""
        return set(self.upserts) | set(self.deletes)


def append_commit(session: Session, source: Source, commit: Commit, now: datetime) -> Appended | None:
    """Append a commit and move the source's position; None where it is in the log already.

    A snapshot begins a new epoch and is reconciled: what was known and is not in it is deleted.
    """
    epoch = source.epoch + 1 if commit.snapshot else source.epoch
    if not commit.snapshot and _is_known(session, source, commit):
        _move(source, commit, epoch)
        return None
    appended = Appended(source.last_seq + 1)
    scopes = Scopes(session, source)
    seen: set[str] = set()
    for batch in _batches(commit.changes):
        _append_batch(session, source, scopes, batch, appended)
        if commit.snapshot:
            seen.update(change.key for change in batch)
    if commit.snapshot:
        _delete_unseen(session, source, seen, appended)
    _mark_moved(session, source.id, appended.seq)
    if appended.scopes or commit.snapshot:
        _write_commit(session, source, commit, epoch, appended, now)
        source.last_seq = appended.seq
    source.dropped += appended.dropped
    _move(source, commit, epoch)
    session.flush()
    return appended


def _is_known(session: Session, source: Source, commit: Commit) -> bool:
    query = select(SourceCommit.seq).where(
        SourceCommit.source_id == source.id,
        SourceCommit.epoch == source.epoch,
        SourceCommit.position == commit.position,
    )
    return session.scalar(query) is not None


def _move(source: Source, commit: Commit, epoch: int) -> None:
    source.epoch, source.position, source.cursor_state = epoch, commit.position, dict(commit.state)


def _batches(changes: Iterable[Change]) -> Iterator[list[Change]]:
    iterator = iter(changes)
    while batch := list(islice(iterator, BATCH)):
        yield batch


def _append_batch(
    session: Session, source: Source, scopes: Scopes, batch: Sequence[Change], appended: Appended
) -> None:
    keys = [change.key for change in batch]
    heads = {
        head.key: head
        for head in session.scalars(select(Head).where(Head.source_id == source.id, Head.key.in_(keys)))
    }
    rows: list[dict[str, Any]] = []
    for change in batch:
        rows.extend(_rows(session, source, scopes, change, heads.get(change.key), appended))
    if rows:
        session.execute(insert(ChangeRow), rows)
    session.flush()


def _rows(
    session: Session, source: Source, scopes: Scopes, change: Change, head: Head | None, appended: Appended
) -> Iterator[dict[str, Any]]:
    if isinstance(change, Delete):
        if head is not None:
            yield _deletion(session, source, head, appended)
        return
    scope = scopes.of(change.tenant)
    if scope is None:
        appended.dropped += 1
        if head is not None:
            yield _deletion(session, source, head, appended)
        return
    mark = fingerprint(change)
    if head is not None and head.scope == scope and head.fingerprint == mark:
        return
    if head is not None and head.scope != scope:
        yield _deletion(session, source, head, appended)
        session.flush()
        head = None
    appended.upserts[scope] += 1
    if isinstance(change, Unreadable):
        appended.unreadable += 1
        yield _unreadable(session, source, scope, change, mark, head, appended.seq)
    else:
        yield _upsert(session, source, scope, change, mark, head, appended.seq)


def _upsert(
    session: Session, source: Source, scope: str, change: Upsert, mark: str, head: Head | None, seq: int
) -> dict[str, Any]:
    digest = content_digest(change.content)
    _store_content(session, scope, digest, change.content)
    _set_head(session, source.id, change.key, scope, seq, mark, digest, head)
    return _row(
        source.id, scope, seq, change.key, "upsert",
        title=change.title, uri=change.uri, media_type=change.media_type, meta=dict(change.metadata),
        content_sha256=digest, size=len(change.content), fingerprint=mark,
    )  # fmt: skip


def _unreadable(
    session: Session, source: Source, scope: str, change: Unreadable, mark: str, head: Head | None, seq: int
) -> dict[str, Any]:
    _set_head(session, source.id, change.key, scope, seq, mark, "", head)
    return _row(source.id, scope, seq, change.key, "unreadable", fingerprint=mark, error=change.reason)


def _deletion(session: Session, source: Source, head: Head, appended: Appended) -> dict[str, Any]:
    appended.deletes[head.scope] += 1
    row = _row(
        source.id, head.scope, appended.seq, head.key, "delete",
        content_sha256=head.content_sha256, fingerprint=head.fingerprint,
    )  # fmt: skip
    session.delete(head)
    return row


def _row(source_id: int, scope: str, seq: int, key: str, op: str, **values: Any) -> dict[str, Any]:  # noqa: ANN401
    # Every row names the same columns, so that a batch is one statement.
    blank: dict[str, Any] = {
        "title": "", "uri": "", "media_type": "", "meta": {}, "content_sha256": "",
        "size": 0, "fingerprint": "", "error": "", "moved": False,
    }  # fmt: skip
    return {**blank, "source_id": source_id, "scope": scope, "seq": seq, "key": key, "op": op, **values}


def _store_content(session: Session, scope: str, digest: str, body: bytes) -> None:
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    session.execute(
        dialect.insert(Content).values(scope=scope, sha256=digest, body=body).on_conflict_do_nothing()
    )


def _set_head(
    session: Session,
    source_id: int,
    key: str,
    scope: str,
    seq: int,
    mark: str,
    digest: str,
    head: Head | None,
) -> None:
    if head is None:
        session.add(
            Head(source_id=source_id, key=key, scope=scope, seq=seq, fingerprint=mark, content_sha256=digest)
        )
    else:
        head.scope, head.seq, head.fingerprint, head.content_sha256 = scope, seq, mark, digest


def _delete_unseen(session: Session, source: Source, seen: set[str], appended: Appended) -> None:
    known = session.scalars(select(Head.key).where(Head.source_id == source.id)).all()
    gone = [key for key in known if key not in seen]
    for start in range(0, len(gone), BATCH):
        batch = gone[start : start + BATCH]
        heads = session.scalars(select(Head).where(Head.source_id == source.id, Head.key.in_(batch))).all()
        session.execute(insert(ChangeRow), [_deletion(session, source, head, appended) for head in heads])
        session.flush()


def _mark_moved(session: Session, source_id: int, seq: int) -> None:
    # A deletion whose very content appeared under another key in the same commit is a rename.
    lives_on = aliased(Head)
    session.execute(
        update(ChangeRow)
        .where(
            ChangeRow.source_id == source_id,
            ChangeRow.seq == seq,
            ChangeRow.op == "delete",
            ChangeRow.content_sha256 != "",
            exists().where(
                and_(
                    lives_on.source_id == source_id,
                    lives_on.scope == ChangeRow.scope,
                    lives_on.content_sha256 == ChangeRow.content_sha256,
                    lives_on.seq == seq,
                )
            ),
        )
        .values(moved=True)
        .execution_options(synchronize_session=False)
    )


def _write_commit(
    session: Session, source: Source, commit: Commit, epoch: int, appended: Appended, now: datetime
) -> None:
    shared: dict[str, Any] = {
        "source_id": source.id,
        "seq": appended.seq,
        "epoch": epoch,
        "position": commit.position,
        "committed_at": commit.committed_at,
        "captured_at": now,
    }
    session.add(SourceCommit(snapshot=commit.snapshot, **shared))
    scopes = appended.scopes | ({source.tenant_id} if source.tenant_id else set())
    for scope in sorted(scopes):
        session.add(
            TenantCommit(
                scope=scope, upserts=appended.upserts[scope], deletes=appended.deletes[scope], **shared
            )
        )
