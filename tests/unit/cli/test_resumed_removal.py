"""Removing a source, or its tenant: under a look that does not end, cut off before its slot was dropped, or stopped."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cli import erasure, removing_sources
from cli.adding_sources import NewSource, add_source
from cli.erasure import erase_tenant
from cli.removing_sources import remove_source, resume_removal
from gateway_client.errors import StoreUnavailable
from pipelines.sources.kinds import prepare_source
from pipelines.sources.sqlite import database as sqlite_database
from registry import leases, sources, tenants
from registry.clock import utc_now
from registry.database import Registry
from registry.errors import AlreadyExists, LeaseHeld
from registry.schema import Source
from registry.settings import Settings


class Killed(BaseException):
    pass


@pytest.fixture
def disposed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []

    def dispose(kind: str, uri: str, options: dict[str, str], *_: Any) -> None:
        found.append(options["slot"])

    monkeypatch.setattr(removing_sources, "dispose_source", dispose)
    return found


def added(registry: Registry, tenant: str, kind: str = "postgres", **options: str) -> Source:
    with registry.write() as session:
        return sources.add(
            session, name="wiki", tenant_id=tenant, kind=kind, uri="postgresql://db/wiki", owner="",
            options=options, consistency="transactional", now=utc_now(),
        )  # fmt: skip


def cut_off_removal(registry: Registry, settings: Settings, source: Source) -> None:
    def killed(_: str) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(removing_sources, "crash_point", killed)
        with pytest.raises(Killed):
            remove_source(registry, settings, source)


@pytest.fixture
def acme(registry: Registry) -> str:
    with registry.write() as session:
        return tenants.create(session, "acme", utc_now()).id


def test_removed_again_the_slot_is_dropped(
    registry: Registry, acme: str, disposed: list[str], tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path)
    cut_off_removal(registry, settings, added(registry, acme, slot="one"))
    assert disposed == []
    for _ in range(2):  # what is gone already is no error at the source
        found = resume_removal(registry, settings, "wiki", acme)
        assert found is not None
        assert found[1] == []
    assert disposed == ["one", "one"]


def test_a_slot_that_another_source_has_by_now_is_left_alone(
    registry: Registry, acme: str, disposed: list[str], tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path)
    cut_off_removal(registry, settings, added(registry, acme, slot="one"))
    added(registry, acme, slot="one")
    assert resume_removal(registry, settings, "wiki", acme) is None
    assert disposed == []


def test_what_left_nothing_or_is_another_tenant_s_is_not_found(
    registry: Registry, acme: str, disposed: list[str], tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path)
    with registry.write() as session:
        other = tenants.create(session, "other", utc_now()).id
    cut_off_removal(registry, settings, added(registry, acme, slot="one"))
    assert resume_removal(registry, settings, "wiki", other) is None
    assert resume_removal(registry, settings, "nothing", acme) is None
    cut_off_removal(registry, settings, added(registry, other, "folder"))
    assert resume_removal(registry, settings, "wiki", other) is None
    assert disposed == []


def test_a_look_that_does_not_end_keeps_no_source_from_being_removed(
    registry: Registry, acme: str, disposed: list[str], tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, lease_seconds=0.2)
    source = added(registry, acme, slot="one")
    name, looking = leases.capture_lease(source.id), leases.Holder.current("a look that hangs")
    with registry.write() as session:
        token = leases.acquire(session, name, looking, 600, utc_now())
    assert remove_source(registry, settings, source) == []
    assert disposed == ["one"]
    with registry.write() as session:
        assert not leases.is_current(session, name, token), "it could still commit what it found"
        with pytest.raises(LeaseHeld):
            leases.acquire(session, name, looking, 600, utc_now())
        assert sources.of_tenant(session, acme) == []


def test_an_erasure_that_cannot_reach_the_ledger_touches_nothing(
    registry: Registry, acme: str, disposed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_GATEWAY_URL", "postgresql+psycopg://nobody@127.0.0.1:1/ledger")
    source = added(registry, acme, slot="one")
    with registry.read() as session:
        tenant = tenants.find(session, "acme")
    with pytest.raises(StoreUnavailable, match="tenant acme was not erased, and serves on"):
        erase_tenant(registry, Settings(home=tmp_path), tenant)
    assert disposed == []
    with registry.write() as session:
        assert tenants.find(session, "acme").status == "active"
        name, capturer = leases.capture_lease(source.id), leases.Holder.current("the capturer")
        leases.acquire(session, name, capturer, 30, utc_now())


def wiki(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE pages (name TEXT PRIMARY KEY, text TEXT)")
    return path


def in_table(registry: Registry, tenant: str, path: Path, name: str = "wiki") -> Source:
    options = {"table": "pages", "key": "name", "body": "text"}
    prepare_source("sqlite", str(path), options, utc_now, path.parent)
    with registry.write() as session:
        return sources.add(
            session, name=name, tenant_id=tenant, kind="sqlite", uri=str(path), owner="",
            options=options, consistency="read transaction", now=utc_now(),
        )  # fmt: skip


def logged(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'trigger'").fetchall())


def test_triggers_go_with_the_last_source_of_their_table(
    registry: Registry, acme: str, tmp_path: Path
) -> None:
    path, settings = wiki(tmp_path / "wiki.db"), Settings(home=tmp_path)
    first, second = in_table(registry, acme, path), in_table(registry, acme, path, "again")
    assert remove_source(registry, settings, first) == []
    assert logged(path), "the other one follows them"
    assert remove_source(registry, settings, second) == []
    assert not logged(path)


@pytest.mark.parametrize("shared", [False, True])
def test_triggers_go_with_the_last_tenant_of_their_table(
    registry: Registry, acme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    monkeypatch.setattr(erasure, "synchronise_partitions", lambda *_: None)
    path = wiki(tmp_path / "wiki.db")
    with registry.write() as session:
        other = tenants.create(session, "other", utc_now()).id
    for name in ("wiki", "again"):
        in_table(registry, acme, path, name)
    if shared:
        in_table(registry, other, path)
    with registry.read() as session:
        tenant = tenants.find(session, "acme")
    erase_tenant(registry, Settings(home=tmp_path), tenant)
    assert logged(path) is shared


def test_a_place_that_is_locked_is_named_with_what_is_left(
    registry: Registry, acme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_database, "BUSY_SECONDS", 0.0)
    path, settings = wiki(tmp_path / "wiki.db"), Settings(home=tmp_path)
    source = in_table(registry, acme, path)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        (left,) = remove_source(registry, settings, source)
    assert "_holdfast_pages_insert" in left
    resumed = resume_removal(registry, settings, "wiki", acme)
    assert resumed is not None
    assert resumed[1] == []
    assert not logged(path)


def test_adding_what_is_there_already_leaves_its_triggers(
    registry: Registry, acme: str, tmp_path: Path
) -> None:
    path = wiki(tmp_path / "wiki.db")
    in_table(registry, acme, path)
    options = {"table": "pages", "key": "name", "body": "text"}
    with pytest.raises(AlreadyExists):
        add_source(
            registry, Settings(home=tmp_path), NewSource("wiki", "acme", "sqlite", str(path), "", options)
        )
    assert logged(path)
