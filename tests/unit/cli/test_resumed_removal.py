"""Removing a source, or its tenant: under a look that does not end, cut off before its slot was dropped, or stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli import removing_sources
from cli.erasure import erase_tenant
from cli.removing_sources import remove_source, resume_removal
from gateway_client.errors import StoreUnavailable
from registry import leases, sources, tenants
from registry.clock import utc_now
from registry.database import Registry
from registry.errors import LeaseHeld
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


def added(registry: Registry, tenant: str, **options: str) -> Source:
    with registry.write() as session:
        return sources.add(
            session, name="wiki", tenant_id=tenant, kind="postgres", uri="postgresql://db/wiki", owner="",
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


def test_what_has_no_slot_or_is_another_tenant_s_is_not_found(
    registry: Registry, acme: str, disposed: list[str], tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path)
    with registry.write() as session:
        other = tenants.create(session, "other", utc_now()).id
    cut_off_removal(registry, settings, added(registry, acme, slot="one"))
    assert resume_removal(registry, settings, "wiki", other) is None
    assert resume_removal(registry, settings, "nothing", acme) is None
    cut_off_removal(registry, settings, added(registry, other))
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
    with pytest.raises(StoreUnavailable, match="nothing of tenant acme was erased"):
        erase_tenant(registry, Settings(home=tmp_path), tenant)
    assert disposed == []
    with registry.write() as session:
        assert tenants.find(session, "acme").status == "active"
        name, capturer = leases.capture_lease(source.id), leases.Holder.current("the capturer")
        leases.acquire(session, name, capturer, 30, utc_now())
