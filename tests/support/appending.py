"""Commits given straight to `append_commit`, and the change log read back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from pipelines.capture.append import Appended, append_commit
from pipelines.sources.source import Change, Commit, Delete, Unreadable, Upsert
from registry import sources, tenants
from registry.database import Registry
from registry.schema import Change as ChangeRow
from registry.schema import Content, Head, Source, SourceCommit, TenantCommit

START = datetime(2026, 1, 1, tzinfo=UTC)


def put(key: str, text: str = "", tenant: str | None = None, **more: Any) -> Upsert:
    given = {"title": "", "uri": "", "media_type": "text/plain", **more}
    return Upsert(key=key, content=(text or f"text of {key}").encode(), tenant=tenant, **given)


def gone(key: str) -> Delete:
    return Delete(key)


def broken(key: str, reason: str = "no permission", tenant: str | None = None) -> Unreadable:
    return Unreadable(key, reason, tenant)


class Log:
    """One source's change log. `shared` leaves its rows to the tenants that they name."""

    def __init__(self, registry: Registry, *, shared: bool = False) -> None:
        self.registry = registry
        self.commits = 0
        with registry.write() as session:
            self.tenant = tenants.create(session, "acme", START).id
            self.source = sources.add(
                session, name="docs", tenant_id=None if shared else self.tenant, kind="folder", uri="/x",
                owner="", options={}, consistency="observed", now=START,
            ).id  # fmt: skip

    def append(
        self, changes: Sequence[Change], position: str = "", *, snapshot: bool = False
    ) -> Appended | None:
        self.commits += 1
        at = START + timedelta(minutes=self.commits)
        commit = Commit(position or f"p{self.commits}", at, iter(changes), snapshot, {"n": self.commits})
        with self.registry.write() as session:
            source = session.get_one(Source, self.source, with_for_update=True)  # as the capturer does
            return append_commit(session, source, commit, at)

    def row(self) -> Source:
        with self.registry.read() as session:
            return session.get_one(Source, self.source)

    def changes(self) -> list[tuple[int, str, str, bool]]:
        """(commit, operation, key, moved) in order; keys of other scopes than the tenant's as scope/key."""
        with self.registry.read() as session:
            rows = session.scalars(select(ChangeRow).order_by(ChangeRow.seq, ChangeRow.id))
            return [(row.seq, row.op, self._named(row.scope, row.key), row.moved) for row in rows]

    def heads(self) -> set[str]:
        with self.registry.read() as session:
            return {self._named(head.scope, head.key) for head in session.scalars(select(Head))}

    def tenant_commits(self, scope: str = "") -> list[tuple[int, int, str, int, int]]:
        """(number, epoch, position, upserts, deletes) of a scope's commits."""
        with self.registry.read() as session:
            query = select(TenantCommit).where(TenantCommit.scope == (scope or self.tenant))
            rows = session.scalars(query.order_by(TenantCommit.seq))
            return [(row.seq, row.epoch, row.position, row.upserts, row.deletes) for row in rows]

    def count(self, table: type[Content] | type[SourceCommit] | type[ChangeRow]) -> int:
        with self.registry.read() as session:
            return session.scalar(select(func.count()).select_from(table)) or 0

    def _named(self, scope: str, key: str) -> str:
        return key if scope == self.tenant else f"{scope}/{key}"
