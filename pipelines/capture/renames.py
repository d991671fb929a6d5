"""Which deletions of a commit are renames: their very content appeared under another key in the same commit.

Of several deletions of one content, as many are renames as there are new copies of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Select, and_, exists, func, select, update
from sqlalchemy.orm import Session, aliased

from registry.schema import Change as ChangeRow
from registry.schema import Head

BATCH = 500


def mark_moved(session: Session, source_id: int, seq: int, scopes: Sequence[str]) -> None:
    """Mark the deletions of a commit, in these scopes, that are one half of a rename."""
    for start in range(0, len(scopes), BATCH):
        gone = _gone(source_id, seq, scopes[start : start + BATCH])
        copies = {(scope, content): n for scope, content, n in session.execute(_copies(source_id, seq, gone))}
        moved = []
        for row_id, scope, content in session.execute(gone.order_by(ChangeRow.id)) if copies else ():
            if copies.get((scope, content), 0) > 0:
                copies[scope, content] -= 1
                moved.append(row_id)
        for at in range(0, len(moved), BATCH):
            session.execute(
                update(ChangeRow).where(ChangeRow.id.in_(moved[at : at + BATCH])).values(moved=True)
            )


def _gone(source_id: int, seq: int, scopes: Sequence[str]) -> Select[int, str, str]:
    return select(ChangeRow.id, ChangeRow.scope, ChangeRow.content_sha256).where(
        ChangeRow.scope.in_(scopes),
        ChangeRow.source_id == source_id,
        ChangeRow.seq == seq,
        ChangeRow.op == "delete",
        ChangeRow.content_sha256 != "",
    )


def _copies(source_id: int, seq: int, gone: Select[int, str, str]) -> Select[str, str, int]:
    contents = gone.with_only_columns(ChangeRow.scope, ChangeRow.content_sha256).distinct().subquery()
    of_content = and_(
        Head.scope == contents.c.scope,
        Head.source_id == source_id,
        Head.content_sha256 == contents.c.content_sha256,
    )
    return (
        select(Head.scope, Head.content_sha256, func.count())
        .join(contents, of_content)
        .where(Head.seq == seq, ~_had_it_before(source_id, seq))
        .group_by(Head.scope, Head.content_sha256)
    )


def _had_it_before(source_id: int, seq: int) -> ColumnElement[bool]:
    """Whether a head's key had its content already: then it is no new copy."""
    before = aliased(ChangeRow)
    of_key = (before.scope == Head.scope, before.source_id == source_id, before.key == Head.key)
    previous = select(func.max(before.seq)).where(*of_key, before.seq < seq).correlate(Head).scalar_subquery()
    earlier = aliased(ChangeRow)
    return exists().where(
        earlier.scope == Head.scope,
        earlier.source_id == source_id,
        earlier.key == Head.key,
        earlier.seq == previous,
        earlier.op == "upsert",
        earlier.content_sha256 == Head.content_sha256,
    )
