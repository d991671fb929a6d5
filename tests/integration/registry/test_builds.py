"""Builds under way, what embedding took, and owners who are gone, on every database."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from registry import builds, leases, owners
from registry.database import Registry
from registry.errors import RegistryError
from registry.leases import Holder
from tests.support.registry_rows import START, add_source, add_tenant


def test_a_build_is_seen_until_it_ends(registry: Registry) -> None:
    with registry.write() as session:
        tenant = add_tenant(session)
        leases.acquire(session, leases.ingest_lease(tenant), Holder.current("run"), 30, START)
        builds.begin(session, tenant, "run", "reindex", "model a -> b", START)
        (begun,) = builds.under_way(session, START)
        assert (begun.stage, begun.done, begun.left, begun.rate, begun.running) == ("", 0, 0, None, True)
        builds.note_stage(session, tenant, "run", "embeddings", 100, 40, START)
        builds.note_done(session, tenant, "run", 60, START + timedelta(seconds=10))
        builds.note_done(session, tenant, "another", 99, START + timedelta(seconds=10))
        (build,) = builds.under_way(session, START, tenant)
        assert (build.done, build.left, build.rate, build.eta_seconds) == (60, 40, 2.0, 20.0)
        (late,) = builds.under_way(session, START + timedelta(seconds=31))
        assert (late.running, late.rate, late.eta_seconds, late.left) == (False, None, None, 40)
        builds.end(session, tenant, "another")
        assert len(builds.under_way(session, START)) == 1
        builds.end(session, tenant, "run")
        assert builds.under_way(session, START) == []


def test_another_run_s_lease_is_not_this_build(registry: Registry) -> None:
    with registry.write() as session:
        tenant = add_tenant(session)
        builds.begin(session, tenant, "killed", "update", "", START)
        leases.acquire(session, leases.ingest_lease(tenant), Holder.current("next"), 30, START)
        assert [build.running for build in builds.under_way(session, START)] == [False]
        builds.begin(session, tenant, "next", "update", "", START)
        assert [build.run for build in builds.under_way(session, START)] == ["next"]


def test_usage_adds_up_by_source_and_day(registry: Registry) -> None:
    with registry.write() as session:
        tenant = add_tenant(session)
        one, two = add_source(session, tenant, "one").id, add_source(session, tenant, "two").id
        builds.add_usage(session, tenant, {one: 3, two: 1}, 8.0, date(2026, 1, 1))
        builds.add_usage(session, tenant, {one: 1}, 1.0, date(2026, 1, 1))
        builds.add_usage(session, tenant, {one: 5}, 2.0, date(2026, 1, 31))
        builds.add_usage(session, tenant, {}, 2.0, date(2026, 1, 31))
        assert builds.usage(session, tenant, one, date(2026, 1, 1)) == (9, 9.0)
        assert builds.usage(session, tenant, one, date(2026, 1, 2)) == (5, 2.0)
        assert builds.usage(session, tenant, two, date(2026, 1, 1)) == (1, 2.0)
        assert builds.usage(session, "nobody", one, date(2026, 1, 1)) == (0, 0.0)


def test_owners_come_and_go(registry: Registry) -> None:
    with registry.write() as session:
        assert owners.suspend(session, "Ann@Example.org", "bob", START)
        assert not owners.suspend(session, " ann@example.org", "eve", START)
        (row,) = owners.suspended(session).values()
        assert (row.email, row.suspended_by, row.suspended_at) == ("ann@example.org", "bob", START)
        assert owners.resume(session, "ANN@example.org")
        assert not owners.resume(session, "ann@example.org")
        with pytest.raises(RegistryError):
            owners.resume(session, "ann")
