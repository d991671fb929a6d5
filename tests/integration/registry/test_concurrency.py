"""Many processes and threads at one registry: nobody is locked out, and no update is lost."""

from __future__ import annotations

import multiprocessing
import threading
from datetime import datetime

import pytest
from sqlalchemy.exc import StatementError

from registry import alerts, models, tenants
from registry.database import Registry
from registry.schema import Lease, Tenant
from tests.support.racing import create_tenant, increment
from tests.support.registry_rows import START, Model, add_tenant


def test_four_processes_increment_and_nothing_is_lost(registry: Registry, registry_url: str) -> None:
    with registry.write() as session:
        session.add(Lease(name="counter", holder="", token=0))
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert pool.starmap(increment, [(registry_url, 200)] * 4, chunksize=1) == [0] * 4
    with registry.read() as session:
        assert session.get_one(Lease, "counter").token == 800


def test_of_two_processes_one_makes_the_tenant(registry_url: str) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for race in range(5):
            calls = [(registry_url, f"race-{race}")] * 2
            assert sorted(pool.starmap(create_tenant, calls, chunksize=1)) == [False, True]


def test_threads_register_one_model(registry: Registry) -> None:
    barrier, seen = threading.Barrier(4), []

    def register() -> None:
        barrier.wait()
        with registry.write() as session:
            seen.append(models.register(session, Model(), START).id)

    threads = [threading.Thread(target=register) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [Model.id] * 4
    with registry.read() as session:
        assert [m.id for m in models.known(session)] == [Model.id]


def test_a_read_sees_one_state(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
    with registry.read() as reader:
        assert len(tenants.active(reader)) == 1
        with registry.write() as writer:
            add_tenant(writer, "beta")
            tenants.suspend(writer, tenants.find(writer, tenant_id), True)
        reader.expire_all()
        assert [t.id for t in tenants.active(reader)] == [tenant_id]
    with registry.read() as reader:
        assert [t.name for t in tenants.active(reader)] == ["beta"]


def test_nothing_that_a_read_does_is_kept(registry: Registry) -> None:
    with registry.read() as session:
        tenants.create(session, "acme", START)
        session.flush()
    with registry.read() as session:
        assert tenants.active(session) == []


def test_a_failed_write_leaves_nothing(registry: Registry) -> None:
    def fail() -> None:
        with registry.write() as session:
            alerts.raise_alert(session, add_tenant(session), "kind", "subject", {}, START)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with registry.read() as session:
        assert tenants.active(session) == []
        assert alerts.undelivered(session, START) == []


def test_times_come_back_aware_and_naive_ones_are_refused(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
    with registry.read() as session:
        assert session.get_one(Tenant, tenant_id).created_at == START
        assert session.get_one(Tenant, tenant_id).created_at.utcoffset() is not None
    with pytest.raises(StatementError, match="time zone"), registry.write() as session:
        session.get_one(Tenant, tenant_id).held_at = datetime(2026, 1, 1)  # noqa: DTZ001
