"""Transactions that need two of the same rows of a PostgreSQL registry: neither waits for the other for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from registry import alerts, deletions, leases, sources, tenants
from registry.changelog import PinnedAt, set_hold
from registry.database import Registry
from registry.locking import FOR_UPDATE, lock_tenant
from registry.schema import Source, TenantCommit
from retrieval.api.usage import Usage
from tests.support import scripted_source
from tests.support.registry_rows import START, add_source, add_tenant, begin_generation, write_commit
from tests.support.world import World

PATIENCE = 30.0


@pytest.fixture
def registry(postgres_url: str) -> Iterator[Registry]:
    """In SQLite a writer is alone."""
    opened = Registry(postgres_url)
    yield opened
    opened.close()


class Other:
    """A transaction in a thread of its own, begun at a moment of this one."""

    def __init__(self, registry: Registry, work: Callable[[Session], object]) -> None:
        self._registry = registry
        self._work = work
        self._thread = threading.Thread(target=self._run)
        self.result: object = None
        self.error: BaseException | None = None

    def _run(self) -> None:
        try:
            with self._registry.write() as session:
                self.result = self._work(session)
        except BaseException as error:
            self.error = error

    def begin(self) -> None:
        """Returns when it has ended or waits for a row."""
        self._thread.start()
        until = time.monotonic() + PATIENCE
        while self._thread.is_alive() and not self._waits():
            assert time.monotonic() < until

    def end(self) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def _waits(self) -> bool:
        waiting = "datname = current_database() AND wait_event_type = 'Lock'"
        with self._registry.read() as session:
            return bool(session.scalar(text(f"SELECT count(*) FROM pg_stat_activity WHERE {waiting}")))


def test_a_capture_that_raises_an_alert_and_a_build_that_pins_its_source(registry: Registry) -> None:
    with registry.write() as session:
        tenant = add_tenant(session)
        source = add_source(session, tenant)
        seq = write_commit(session, source, tenant, upserts={"a.md": "a"})

    def capture(session: Session) -> object:
        session.get_one(Source, source.id, with_for_update=FOR_UPDATE)
        return alerts.raise_alert(session, tenant, "mass_deletion_held", "waits for a person", {}, START)

    capturing = Other(registry, capture)
    with registry.write() as session:
        lock_tenant(session, tenant)
        capturing.begin()
        begin_generation(session, tenant, pins=[PinnedAt(source.id, seq, 0, "p1", START, True)])
    capturing.end()
    assert capturing.error is None
    assert capturing.result is not None


def test_a_look_at_a_source_whose_tenant_is_erased(
    postgres_url: str, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, registry_url=postgres_url)
    try:
        world.add_tenant()
        world.add_source()
        with world.reading() as session:
            (source,) = sources.present(session)
        erasing = Other(registry, lambda session: tenants.erase(session, tenants.find(session, world.tenant)))
        renew = leases.renew

        def renewed(*given: Any) -> None:
            renew(*given)
            erasing.begin()

        monkeypatch.setattr(leases, "renew", renewed)
        captured = world.ingestion.capturer.catch_up(source.id)
        erasing.end()
        assert erasing.error is None
        assert captured.error == ""
    finally:
        world.close()
        scripted_source.uninstall()


def test_deletions_that_the_source_takes_back_while_a_person_decides(registry: Registry) -> None:
    with registry.write() as session:
        tenant = add_tenant(session)
        source = add_source(session, tenant)
        seq = write_commit(session, source, tenant, deletes=["a.md"], hold="held")
    deciding = Other(registry, lambda session: deletions.decide(session, tenant, "confirmed", "me", START))
    with registry.write() as session:
        set_hold(session, tenant, source.id, [seq], "restored", "the source", START)
        deciding.begin()
    deciding.end()
    assert deciding.error is None
    assert deciding.result == []
    with registry.read() as session:
        assert session.get_one(TenantCommit, (source.id, tenant, seq)).hold == "restored"


def test_a_key_that_is_made_while_the_tenant_is_erased(registry: Registry) -> None:
    from registry import keys
    from registry.errors import NotFound

    with registry.write() as session:
        tenant = add_tenant(session)

    making = Other(registry, lambda session: keys.create(session, tenants.find(session, "acme").id, START))
    with registry.write() as session:
        tenants.erase(session, tenants.find(session, tenant))
        making.begin()
    making.end()
    assert isinstance(making.error, NotFound)


def test_an_api_that_notes_queries_and_a_capture_that_tells_of_several_tenants(registry: Registry) -> None:
    with registry.write() as session:
        first, second = sorted(add_tenant(session, name) for name in ("acme", "bolt"))
    usage = Usage(registry, lambda: START)
    for tenant in (second, first):
        usage.note(tenant)
    flushing = Other(registry, lambda _: usage.flush())
    with registry.write() as session:
        assert alerts.raise_alert(session, first, "mass_deletion_held", "waits", {}, START)
        flushing.begin()
        assert alerts.raise_alert(session, second, "mass_deletion_held", "waits", {}, START)
    flushing.end()
    assert flushing.error is None
