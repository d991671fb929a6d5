"""A PostgreSQL table captured into a registry: run in this process, or in one that is killed on its way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import select

from pipelines.capture.capturer import Captured, Capturer
from pipelines.sources.kinds import prepare_source
from registry import sources, tenants
from registry.clock import utc_now
from registry.database import Registry
from registry.schema import Change, Content, Head, ReplicationSlot, Source, SourceCommit, SourceRow, Tenant

LEASE_SECONDS = 5.0


class CapturedTable:
    """A source in a registry. `tenant` None: shared by a tenant column."""

    def __init__(
        self, registry: Registry, url: str, options: dict[str, str], tenant: str | None = None
    ) -> None:
        self.registry = registry
        self.options = {
            "quiescence": "0",
            "slot": "captured_table",
            "publication": "captured_table",
            **options,
        }
        prepare_source("postgres", url, self.options, utc_now, Path("unused"))
        with registry.write() as session:
            self.id = sources.add(
                session, name="docs", tenant_id=tenant, kind="postgres", uri=url, owner="", options=self.options,
                consistency="transactional", now=utc_now(),
            ).id  # fmt: skip

    def capture(self) -> Captured:
        captured = Capturer(self.registry, Path("unused"), LEASE_SECONDS).catch_up(self.id)
        assert not captured.busy
        return captured

    def capture_whole(self) -> Captured:
        captured = self.capture()
        assert captured.error == ""
        return captured

    def killed_at(self, crash_point: str) -> bool:
        """Capture in another process; whether it was killed there."""
        environment = {**os.environ, "HOLDFAST_CRASH_AT": crash_point}
        command = [sys.executable, "-m", __name__, self.registry.url.render_as_string(False), str(self.id)]
        done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)
        assert done.returncode in (0, -9), done.stderr.decode()
        return done.returncode == -9

    def documents(self) -> dict[str, tuple[str, str]]:
        """Key to (owner, text) of what is registered now; an owner is a tenant's name, or ?label."""
        with self.registry.read() as session:
            names = {tenant.id: tenant.name for tenant in session.scalars(select(Tenant))}
            query = select(Head.key, Head.scope, Content.body).join(
                Content, (Content.scope == Head.scope) & (Content.sha256 == Head.content_sha256)
            )
            return {
                key: (names.get(scope, scope), body.decode()) for key, scope, body in session.execute(query)
            }

    def changes(self) -> list[tuple[int, str, str, str]]:
        """(commit, owner, operation, key) in the order of the log."""
        with self.registry.read() as session:
            names = {tenant.id: tenant.name for tenant in session.scalars(select(Tenant))}
            rows = session.scalars(select(Change).order_by(Change.seq, Change.key, Change.op))
            return [(row.seq, names.get(row.scope, row.scope), row.op, row.key) for row in rows]

    def commits(self) -> list[tuple[int, str]]:
        """(epoch, position) in order."""
        with self.registry.read() as session:
            rows = session.scalars(select(SourceCommit).order_by(SourceCommit.seq))
            return [(row.epoch, row.position) for row in rows]

    def rows(self) -> dict[tuple[str, str], SourceRow]:
        """What is kept, by relation and key (a section's: its identity)."""
        with self.registry.read() as session:
            found = session.scalars(select(SourceRow).order_by(SourceRow.identity))
            return {(row.relation, row.key or row.identity): row for row in found}

    def row(self) -> Source:
        with self.registry.read() as session:
            return session.get_one(Source, self.id)

    def slot(self) -> ReplicationSlot | None:
        with self.registry.read() as session:
            return session.get(ReplicationSlot, self.id)

    def add_tenant(self, name: str) -> str:
        with self.registry.write() as session:
            return tenants.create(session, name, utc_now()).id

    def erase_tenant(self, name: str) -> None:
        with self.registry.write() as session:
            tenants.erase(session, tenants.find(session, name))


def main() -> None:
    registry = Registry(sys.argv[1])
    captured = Capturer(registry, Path("unused"), LEASE_SECONDS).catch_up(int(sys.argv[2]))
    registry.close()
    fields: dict[str, Any] = {"commits": captured.commits, "error": captured.error, "busy": captured.busy}
    sys.stdout.write(json.dumps(fields))


if __name__ == "__main__":
    main()
