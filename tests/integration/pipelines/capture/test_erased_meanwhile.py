"""A tenant that is erased while a shared source is captured: nothing of it is left, and the capture goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import func, select, text

from pipelines.capture import append as appending
from pipelines.sources.source import Change as AnyChange
from registry import tenants
from registry.database import Registry
from registry.schema import Change, Content, Head, TenantCommit
from tests.support.appending import START, Log, gone, put

PATIENCE = 30.0


@pytest.fixture
def shared(postgres_url: str) -> Iterator[Log]:
    """In SQLite a writer is alone."""
    registry = Registry(postgres_url)
    registry.migrate()
    yield Log(registry, shared=True)
    registry.close()


def others_waiting(registry: Registry) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with registry.read() as session:
        return bool(session.scalar(text(query)))


def left_of(registry: Registry, tenant_id: str) -> int:
    with registry.read() as session:
        counts = [
            session.scalar(select(func.count()).select_from(table).where(table.scope == tenant_id))
            for table in (Head, Change, Content, TenantCommit)
        ]
    return sum(count or 0 for count in counts)


@pytest.mark.parametrize("step", ["_rows", "_store_contents", "_write_commit"])
@pytest.mark.parametrize(
    "changes",
    [
        [put("a", "other", "acme"), put("b", "other", "acme")],
        [put("a", "x", "bolt")],
        [gone("a"), gone("b")],
        [put("new", "x", "acme")],
    ],
    ids=["changed", "moved away", "deleted", "added"],
)
def test_nothing_is_left_of_who_is_erased_under_a_capture(
    shared: Log, monkeypatch: pytest.MonkeyPatch, changes: list[AnyChange], step: str
) -> None:
    registry = shared.registry
    with registry.write() as session:
        bolt = tenants.create(session, "bolt", START).id
    shared.append([put("a", tenant="acme"), put("b", tenant="acme"), put("c", tenant="bolt")], snapshot=True)
    erasing = threading.Thread(target=erase, args=(registry, shared.tenant))
    monkeypatch.setattr(appending, step, once(getattr(appending, step), erasing, registry))
    shared.append(changes)
    erasing.join(PATIENCE)
    assert not erasing.is_alive()
    assert left_of(registry, shared.tenant) == 0
    with registry.read() as session:
        assert tenants.is_erased(session, "acme")
        assert "c" in set(session.scalars(select(Head.key).where(Head.scope == bolt)))


def erase(registry: Registry, tenant_id: str) -> None:
    with registry.write() as session:
        tenants.erase(session, tenants.find(session, tenant_id))


def once(step: Callable[..., object], erasing: threading.Thread, registry: Registry) -> Callable[..., object]:
    """The same step; at its first an erasure begins, and has ended or waits when it goes on."""

    def called(*given: object, **named: object) -> object:
        if erasing.ident is None:
            erasing.start()
            until = time.monotonic() + PATIENCE
            while erasing.is_alive() and not others_waiting(registry):
                assert time.monotonic() < until
        return step(*given, **named)

    return called
