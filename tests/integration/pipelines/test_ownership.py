"""Orphaned sources: each reason, and what each source costs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from pipelines.ownership import OwnedSource, owned_sources
from pipelines.source_costs import index_bytes
from registry import owners, sources, tenants
from registry.errors import RegistryError
from registry.schema import Source, Tenant
from tests.support.world import World, empty_world, migrated_home, published, text_about, world

__all__ = ["empty_world", "migrated_home", "published", "world"]


def owned(world: World) -> dict[str, OwnedSource]:
    with world.reading() as session:
        found = owned_sources(session, lambda tenant: index_bytes(world.settings, tenant), world.clock())
    return {source.name: source for source in found}


def reasons(world: World, source: str = "docs") -> set[str]:
    return set(owned(world)[source].reasons)


def searched(world: World) -> None:
    with world.registry.write() as session:
        session.execute(update(Tenant).values(last_query_at=world.clock()))


def set_owner(world: World, email: str) -> None:
    with world.registry.write() as session:
        session.execute(update(Source).values(owner=email))


def test_a_source_with_an_owner_and_a_searched_tenant_is_no_orphan(published: World) -> None:
    found = owned(published)["docs"]
    assert (found.owner, found.tenant, found.orphaned, found.why) == ("o@example.org", "acme", False, "")


def test_the_contract_s_owner_stands_in(published: World) -> None:
    set_owner(published, "")
    assert reasons(published) == {"no_owner"}
    published.set_contract(owner="boss@example.org")
    assert owned(published)["docs"].owner == "boss@example.org"
    assert reasons(published) == set()


def test_a_suspended_owner(published: World) -> None:
    with published.registry.write() as session:
        assert owners.suspend(session, " O@Example.org ", "ann", published.clock())
        assert not owners.suspend(session, "o@example.org", "ann", published.clock())
    assert reasons(published) == {"owner_suspended"}
    assert "o@example.org is suspended since 2026-01-01" in owned(published)["docs"].why
    with published.registry.write() as session:
        source = sources.find(session, "docs")
        assert owners.assign(session, source, "New@example.org") == "new@example.org"
    assert reasons(published) == set()
    set_owner(published, "")
    published.set_contract(owner="O@EXAMPLE.ORG")
    assert reasons(published) == {"owner_suspended"}, "also where the contract names it"
    with published.registry.write() as session:
        assert owners.resume(session, "o@example.org")
        assert not owners.resume(session, "o@example.org")
    assert reasons(published) == set()


@pytest.mark.parametrize("email", ["", "nobody", "a b@example.org", "@", f"{'a' * 250}@example.org"])
def test_what_is_no_address(published: World, email: str) -> None:
    with published.registry.write() as session, pytest.raises(RegistryError, match="e-mail"):
        owners.suspend(session, email, "ann", published.clock())


def test_a_suspended_tenant(published: World) -> None:
    with published.registry.write() as session:
        tenants.suspend(session, tenants.find(session, published.tenant), True)
    assert reasons(published) == {"tenant_suspended"}


def test_nobody_searches(published: World) -> None:
    published.set_contract(idle_days=2)
    searched(published)
    published.clock.advance(timedelta(days=2).total_seconds())
    assert reasons(published) == set()
    published.clock.advance(1)
    assert reasons(published) == {"unused"}
    assert "nobody searched its tenant for 2 days" in owned(published)["docs"].why
    searched(published)
    assert reasons(published) == set()


def test_a_shared_source_is_used_while_any_of_its_tenants_is(empty_world: World) -> None:
    first, second = empty_world.add_tenant("first"), empty_world.add_tenant("second")
    script = empty_world.add_source("shared", tenant=None)
    script.append(
        empty_world.clock(),
        {f"{name}.md": {"content": text_about(name), "tenant": name} for name in ("first", "second")},
    )
    empty_world.ingestion.capturer.catch_up_all()
    assert owned(empty_world)["shared"].tenant is None
    empty_world.clock.advance(timedelta(days=31).total_seconds())
    assert reasons(empty_world, "shared") == {"unused"}
    with empty_world.registry.write() as session:
        session.execute(update(Tenant).where(Tenant.id == second).values(last_query_at=empty_world.clock()))
    assert reasons(empty_world, "shared") == set()
    with empty_world.registry.write() as session:
        tenants.suspend(session, tenants.find(session, second), True)
    assert reasons(empty_world, "shared") == set()
    with empty_world.registry.write() as session:
        tenants.suspend(session, tenants.find(session, first), True)
    assert reasons(empty_world, "shared") == {"tenant_suspended"}


def test_a_shared_source_that_feeds_nobody(empty_world: World) -> None:
    empty_world.add_source("shared", tenant=None)
    assert reasons(empty_world, "shared") == set()
    empty_world.clock.advance(timedelta(days=31).total_seconds())
    assert reasons(empty_world, "shared") == {"unused"}


def test_what_a_source_costs(published: World) -> None:
    published.add_source("second")
    text = text_about("volcano")
    published.commit({"v": text}, source="second")
    published.run()
    published.commit({"v": text + " More."}, source="second")
    published.run()
    found = owned(published)
    docs, second = found["docs"].cost, found["second"].cost
    live = published.live()
    assert live is not None
    assert (docs.documents, second.documents) == (10, 1)
    assert docs.chunks + second.chunks == live.chunks
    assert second.content_bytes == len(text) + len(text + " More."), "every captured version is kept"
    assert docs.index_bytes + second.index_bytes == pytest.approx(
        index_bytes(published.settings, published.tenant), abs=2
    )
    assert docs.index_bytes > second.index_bytes > 0
    assert second.embedded_texts > 0
    assert second.embedding_seconds > 0
    published.clock.advance(timedelta(days=32).total_seconds())
    later = owned(published)["second"].cost
    assert (later.embedded_texts, later.embedding_seconds) == (0, 0.0)
    assert later.documents == 1


def test_a_removed_source_has_no_owner_to_ask(published: World) -> None:
    with published.registry.write() as session:
        sources.remove(session, sources.find(session, "docs"), published.clock())
    assert owned(published) == {}
