"""Sources: whose they are, by what name, and what their last look said."""

from __future__ import annotations

from datetime import timedelta

import pytest

from registry import sources
from registry.database import Registry
from registry.errors import AlreadyExists, NotFound, RegistryError
from registry.schema import Source
from tests.support.registry_rows import START, add_source, add_tenant, write_commit


def test_a_name_is_unique_among_a_tenants_sources_and_the_shared_ones(registry: Registry) -> None:
    with registry.write() as session:
        acme, beta = add_tenant(session, "acme"), add_tenant(session, "beta")
        of_acme, of_beta = add_source(session, acme, "docs"), add_source(session, beta, "docs")
        shared = add_source(session, None, "shared")
        for tenant_id, name in ((acme, "docs"), (None, "docs"), (acme, "shared"), (None, "shared")):
            with pytest.raises(AlreadyExists, match=name):
                add_source(session, tenant_id, name)
        assert sources.find(session, "docs", acme).id == of_acme.id
        assert sources.find(session, "docs", beta).id == of_beta.id
        assert sources.find(session, "shared", acme).id == sources.find(session, "shared").id == shared.id
        with pytest.raises(RegistryError, match="--tenant"):
            sources.find(session, "docs")
        with pytest.raises(NotFound):
            sources.find(session, "other", acme)


@pytest.mark.parametrize("name", ["", "a b", ".a", "a/b", "a" * 64, "é", "a\n"])
def test_names_that_are_none(registry: Registry, name: str) -> None:
    with registry.write() as session, pytest.raises(RegistryError, match="no source name"):
        add_source(session, add_tenant(session), name)


def test_a_removed_source_is_gone_and_its_name_free(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
        first = add_source(session, tenant_id)
        sources.remove(session, first, START)
        assert sources.present(session) == []
        with pytest.raises(NotFound):
            sources.find(session, "docs", tenant_id)
        assert add_source(session, tenant_id).id != first.id


def test_a_tenants_sources(registry: Registry) -> None:
    with registry.write() as session:
        acme, beta = add_tenant(session, "acme"), add_tenant(session, "beta")
        add_source(session, acme, "own")
        add_source(session, beta, "of-beta")
        shared = add_source(session, None, "shared")
        assert [s.name for s in sources.of_tenant(session, acme)] == ["own"]
        assert [s.name for s in sources.capturable(session, acme)] == ["own", "shared"]
        write_commit(session, shared, acme, upserts={"a": "x"})
        assert [s.name for s in sources.of_tenant(session, acme)] == ["own", "shared"]
        assert [s.name for s in sources.of_tenant(session, beta)] == ["of-beta"]


def test_a_failure_is_noted_until_the_next_good_look(registry: Registry) -> None:
    later = START + timedelta(hours=1)
    with registry.write() as session:
        source_id = add_source(session, add_tenant(session)).id
        sources.record_look(session, source_id, START, START)
        sources.record_failure(session, source_id, START, "no such folder")
        sources.record_failure(session, source_id, later, "still none")
    with registry.write() as session:
        source = session.get_one(Source, source_id)
        assert (source.error, source.failing_since, source.checked_at) == ("still none", START, START)
        sources.record_look(session, source_id, later, later)
    with registry.read() as session:
        source = session.get_one(Source, source_id)
        assert (source.error, source.failing_since, source.checked_at) == ("", None, later)
