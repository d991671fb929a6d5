"""Appending one commit to the change log, in the caller's transaction.

Everything of a commit (its content, its changes, the new heads, the source's position) becomes visible
at once. Changes are streamed in batches, so that a commit of any size needs bounded memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from pipelines.capture.renames import mark_moved
from pipelines.capture.scopes import Scopes
from pipelines.sources.fingerprint import content_digest, fingerprint
from pipelines.sources.source import Change, Commit, Delete, Unreadable, Upsert
from registry import source_rows
from registry.schema import Change as ChangeRow
from registry.schema import Content, Head, Source, SourceCommit, TenantCommit
from registry.source_rows import GoneRow, KeptRow, RowChange

BATCH = 500
BATCH_BYTES = 16 * 2**20
Item = TypeVar("Item")


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
    for batch in _batches(commit.changes, _change_size):
        _append_batch(session, source, scopes, batch, appended)
        if commit.snapshot:
            seen.update(change.key for change in batch)
    if commit.snapshot:
        _delete_unseen(session, source, seen, appended)
    mark_moved(session, source.id, appended.seq, sorted(appended.deletes))
    _write_rows(session, source, scopes, commit)
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


def _batches(items: Iterable[Item], size: Callable[[Item], int]) -> Iterator[list[Item]]:
    """At most BATCH items and about BATCH_BYTES at a time: documents may be large."""
    batch: list[Item] = []
    held = 0
    for item in items:
        batch.append(item)
        held += size(item)
        if len(batch) >= BATCH or held >= BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _change_size(change: Change) -> int:
    return len(change.content) if isinstance(change, Upsert) else 0


def _row_size(row: RowChange) -> int:
    return len(row.body or b"") if isinstance(row, KeptRow) else 0


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
    _store_contents(session, batch, rows)
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


def _store_contents(session: Session, batch: Sequence[Change], rows: Sequence[dict[str, Any]]) -> None:
    """The bytes of what is put down, once per tenant and digest, in one statement for the batch."""
    bodies = {change.key: change.content for change in batch if isinstance(change, Upsert)}
    stored = {
        (row["scope"], row["content_sha256"]): bodies[row["key"]] for row in rows if row["op"] == "upsert"
    }
    if not stored:
        return
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    session.execute(
        dialect.insert(Content).on_conflict_do_nothing(),
        [{"scope": scope, "sha256": digest, "body": body} for (scope, digest), body in stored.items()],
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


def _write_rows(session: Session, source: Source, scopes: Scopes, commit: Commit) -> None:
    """What the source wants kept; of an erased tenant's rows only what tells them apart."""
    if commit.snapshot:
        source_rows.forget_all(session, source.id)
    for batch in _batches(commit.rows, _row_size):
        kept: list[tuple[KeptRow, str]] = []
        for row in batch:
            if isinstance(row, KeptRow):
                scope = scopes.of(row.label)
                kept.append((row, scope) if scope is not None else (replace(row, key="", body=None), ""))
        source_rows.write(session, source.id, kept)
        source_rows.forget(session, source.id, [row for row in batch if isinstance(row, GoneRow)])


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
