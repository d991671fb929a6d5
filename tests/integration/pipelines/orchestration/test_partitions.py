"""Dagster's partitions while others make tenants and look after the partitions too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from sqlalchemy.exc import IntegrityError

from pipelines.orchestration.partitions import NAME, synchronise
from registry import tenants
from registry.database import Registry
from registry.schema import Tenant
from tests.support.registry_rows import START


@pytest.fixture
def registry(sqlite_url: str) -> Iterator[Registry]:
    opened = Registry(sqlite_url)
    yield opened
    opened.close()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


def make(registry: Registry, name: str) -> Tenant:
    with registry.write() as session:
        return tenants.create(session, name, START)


def test_what_another_process_adds_at_the_same_time_is_no_error(
    registry: Registry, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = sorted(make(registry, name).id for name in ("acme", "bolt", "crane"))
    add, others = instance.add_dynamic_partitions, [ids[:1], ids[1:2]]

    def insert(name: str, keys: list[str]) -> None:
        """Dagster has looked what is there; the other process inserts first."""
        if others:
            add(name, others.pop())
            raise IntegrityError("INSERT", None, Exception("UNIQUE constraint failed"))
        add(name, keys)

    monkeypatch.setattr(instance, "add_dynamic_partitions", insert)
    synchronise(instance, registry)
    assert sorted(instance.get_dynamic_partitions(NAME)) == ids


def test_what_cannot_be_added_is_an_error(
    registry: Registry, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(registry, "acme")

    def refuse(*_: Any) -> None:
        raise IntegrityError("INSERT", None, Exception("NOT NULL constraint failed"))

    monkeypatch.setattr(instance, "add_dynamic_partitions", refuse)
    with pytest.raises(IntegrityError):
        synchronise(instance, registry)


def test_a_tenant_that_is_made_meanwhile_keeps_its_partition(
    registry: Registry, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, due = instance.get_dynamic_partitions, ["acme"]
    active = tenants.active

    def make_one() -> None:
        instance.add_dynamic_partitions(NAME, [make(registry, due.pop()).id])

    def looked(name: str) -> Any:
        found = look(name)
        if due:
            make_one()
        return found

    def listed(session: Any) -> list[Tenant]:
        found = active(session)
        if due:
            make_one()
        return found

    monkeypatch.setattr(instance, "get_dynamic_partitions", looked)
    monkeypatch.setattr(tenants, "active", listed)
    synchronise(instance, registry)
    with registry.read() as session:
        assert list(look(NAME)) == [tenant.id for tenant in active(session)]
