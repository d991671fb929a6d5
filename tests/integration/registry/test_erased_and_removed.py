"""What is written for a tenant that was erased meanwhile, or of a removed source: nothing, and that is said."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from registry import alerts, canaries, contracts, dead_letters, keys, leases, owners, runs, sources, tenants
from registry.canaries import Question
from registry.contract import Contract
from registry.database import Registry
from registry.errors import NotFound
from registry.schema import Alert, Source, Tenant
from tests.support.registry_rows import START, add_source, add_tenant

Write = Callable[[Session, Tenant], object]
QUESTIONS = [Question("q", "what", ("a.md",))]


def store_run(session: Session, tenant: Tenant) -> object:
    return canaries.store_run(
        session, tenant_id=tenant.id, generation=1, kind="daily", canary_hash="", contract_hash="", k=10,
        answers=[], recall=None, mrr=None, passed=True, details={}, now=START,
    )  # fmt: skip


WRITES: dict[str, Write] = {
    "suspend": lambda session, tenant: tenants.suspend(session, tenant, True),
    "resume": lambda session, tenant: tenants.suspend(session, tenant, False),
    "erase again": tenants.erase,
    "contract": lambda session, tenant: contracts.store(session, tenant.id, Contract(k=3), START),
    "key": lambda session, tenant: keys.create(session, tenant.id, START),
    "canaries": lambda session, tenant: canaries.merge(session, tenant.id, QUESTIONS, START),
    "other canaries": lambda session, tenant: canaries.replace(session, tenant.id, QUESTIONS, START),
    "canary run": store_run,
    "retry": lambda session, tenant: dead_letters.retry(session, tenant.id, "me", START),
    "drop": lambda session, tenant: dead_letters.drop(session, tenant.id, "me", START),
    "source": lambda session, tenant: add_source(session, tenant.id),
    "outcome": lambda session, tenant: runs.record_outcome(session, "run", tenant.id, {}, START),
}


@pytest.fixture
def erased(registry: Registry) -> Tenant:
    """A tenant as somebody read it, who has not heard yet that it was erased."""
    with registry.write() as session:
        found = tenants.find(session, add_tenant(session))
    with registry.write() as session:
        tenants.erase(session, found)
    return found


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_nothing_is_written_for_an_erased_tenant(registry: Registry, erased: Tenant, write: Write) -> None:
    with pytest.raises(NotFound, match="there is no tenant"), registry.write() as session:
        write(session, erased)
    with registry.read() as session:
        assert session.get_one(Tenant, erased.id).status == "erased"


def test_nobody_is_told_of_an_erased_tenant_and_nothing_asks_for_its_runs(
    registry: Registry, erased: Tenant
) -> None:
    with registry.write() as session:
        assert alerts.raise_alert(session, erased.id, "run_failed", "a run failed", {}, START) is None
        assert alerts.raise_alert(session, "never-was", "run_failed", "a run failed", {}, START) is None
        assert runs.next_run_key(session, erased.id, "identity", START) is None
        assert session.scalars(select(Alert)).all() == []


def test_an_alert_may_go_while_it_is_delivered(registry: Registry) -> None:
    with registry.write() as session:
        tenant = tenants.find(session, add_tenant(session))
        raised = alerts.raise_alert(session, tenant.id, "kind", "subject", {}, START)
        assert raised is not None
        tenants.erase(session, tenant)
    with registry.write() as session:
        alerts.record_delivery(session, raised.id, START)
        alerts.record_failure(session, raised.id, START, "the webhook answered 500")
        assert session.scalars(select(Alert)).all() == []


SOURCE_WRITES: dict[str, Callable[[Session, Source], object]] = {
    "remove": lambda session, source: sources.remove(session, source, START),
    "options": lambda session, source: sources.change_options(session, source, {"password": "secret"}),
    "owner": lambda session, source: owners.assign(session, source, "o@example.org"),
}


@pytest.mark.parametrize("write", SOURCE_WRITES.values(), ids=SOURCE_WRITES)
@pytest.mark.parametrize("how", ["removed", "erased"])
def test_nothing_is_written_of_a_removed_source(
    registry: Registry, how: str, write: Callable[[Session, Source], object]
) -> None:
    with registry.write() as session:
        tenant = tenants.find(session, add_tenant(session))
        source = add_source(session, tenant.id)
    with registry.write() as session:
        if how == "erased":
            tenants.erase(session, tenant)
        else:
            sources.remove(session, source, START)
    with registry.read() as session:
        before = session.get_one(Source, source.id)
    with pytest.raises(NotFound, match="was removed meanwhile"), registry.write() as session:
        write(session, source)
    with registry.read() as session:
        after = session.get_one(Source, source.id)
    assert (after.options, after.owner, after.removed_at) == (before.options, before.owner, before.removed_at)


def test_a_lease_is_not_taken_from_whom_another_removal_gave_it(registry: Registry) -> None:
    """Whoever is second would wait for a lease that nobody gives back."""
    from cli.removing_sources import remove_source
    from registry.settings import Settings

    with registry.write() as session:
        source = add_source(session, add_tenant(session))
    with registry.write() as session:
        sources.remove(session, source, START)
        leases.bar(session, leases.capture_lease(source.id))
    with pytest.raises(NotFound):
        remove_source(registry, Settings(lease_seconds=3600), source)
