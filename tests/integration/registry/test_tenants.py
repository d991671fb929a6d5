"""Tenants: names, ids, and what is left of one that was erased."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from registry import (
    alerts,
    builds,
    canaries,
    changelog,
    contracts,
    dead_letters,
    generations,
    keys,
    leases,
    publication,
    runs,
    slots,
    tenants,
)
from registry import source_rows as kept_rows
from registry import sources as source_rows
from registry.canaries import Answer, Question
from registry.changelog import PinnedAt
from registry.contract import Contract
from registry.database import Registry
from registry.errors import (
    AlreadyExists,
    LeaseHeld,
    LeaseLost,
    NotFound,
    PublicationRefused,
    RegistryError,
    TenantSuspended,
)
from registry.schema import Base, Change, Chunk, Content, Head, ParsedDocument, Source, Tenant, Vector
from registry.source_rows import KeptRow
from tests.support.registry_rows import (
    START,
    add_source,
    add_tenant,
    begin_generation,
    judge,
    write_commit,
)


@pytest.mark.parametrize("name", ["a", "acme", "0", "a.b-c_d", "a" * 63])
def test_names_that_are_taken(registry: Registry, name: str) -> None:
    with registry.write() as session:
        tenant = tenants.create(session, name, START)
        assert tenants.find(session, name).id == tenant.id == tenants.find(session, tenant.id).id
        assert tenant.id.startswith(f"{name}-")


@pytest.mark.parametrize("name", ["", "-a", ".a", "a b", "a/b", "a\n", "é", "a" * 64, "?a", "../x", "a\0"])
def test_names_that_are_not(registry: Registry, name: str) -> None:
    with registry.write() as session, pytest.raises(RegistryError, match="no tenant name"):
        tenants.create(session, name, START)


def test_a_name_is_taken_once(registry: Registry) -> None:
    with registry.write() as session:
        first = add_tenant(session, "acme")
        with pytest.raises(AlreadyExists, match="acme"):
            tenants.create(session, "acme", START)
        with pytest.raises(AlreadyExists, match=first):
            tenants.create(session, first, START)


def test_an_id_is_never_given_again_and_never_a_name(registry: Registry) -> None:
    seen: set[str] = set()
    for _ in range(5):
        with registry.write() as session:
            tenant = tenants.create(session, "acme", START)
            assert tenant.id not in seen
            seen.add(tenant.id)
            tenants.erase(session, tenant)
    with registry.write() as session:
        assert set(session.scalars(select(Tenant.id))) == seen
        for taken in seen:
            with pytest.raises(AlreadyExists):
                tenants.create(session, taken, START)
            with pytest.raises(NotFound):
                tenants.find(session, taken)
        with pytest.raises(NotFound):
            tenants.find(session, "acme")


def test_a_suspended_tenant_is_found_but_not_active(registry: Registry) -> None:
    with registry.write() as session:
        tenant = tenants.create(session, "acme", START)
        tenants.suspend(session, tenant, True)
        assert tenants.find(session, "acme").id == tenant.id
        assert tenants.active(session) == []
        with pytest.raises(TenantSuspended, match="acme"):
            tenants.find_active(session, "acme")
        tenants.suspend(session, tenant, False)
        assert tenants.find_active(session, "acme").id == tenant.id
        assert [t.id for t in tenants.active(session)] == [tenant.id]


def fill_every_table(session: Session, tenant_id: str) -> None:
    """At least one row that belongs to this tenant in every table that can have one."""
    source = add_source(session, tenant_id, f"own-{tenant_id[:5]}")
    seq = write_commit(session, source, tenant_id, upserts={"a.md": "content-a"})
    change = session.scalars(select(Change).where(Change.scope == tenant_id)).one()
    pin = PinnedAt(source.id, seq, 0, "p1", START, True)
    candidate = begin_generation(session, tenant_id, pins=[pin], digest=f"digest-{tenant_id}")
    parsed = ParsedDocument(tenant_id=tenant_id, input_sha256="i" * 64, build="b" * 64, chunks=1)
    session.add(parsed)
    session.flush()
    session.add(
        Chunk(parsed_id=parsed.id, ordinal=0, text=tenant_id, text_sha256="t" * 64, heading=[], tokens=1,
              terms=b"", length=1)
    )  # fmt: skip
    session.add(Vector(tenant_id=tenant_id, model_id=candidate.model_id, text_sha256="t" * 64, body=b"v"))
    row = {"source_id": source.id, "key": "a.md", "change_id": change.id, "wanted_id": change.id}
    rest = {"generation": candidate.number, "state": "live", "parsed_id": parsed.id, "chunks": 1}
    generations.add_documents(session, [{"tenant_id": tenant_id, **row, **rest}])
    canaries.replace(session, tenant_id, [Question("q", f"about {tenant_id}", ("a.md",))], START)
    canaries.store_run(
        session, tenant_id=tenant_id, generation=candidate.number, kind="gate", canary_hash="",
        contract_hash="", k=10, answers=[Answer("q", ("a.md",), 1.0, 1.0)], recall=1.0, mrr=1.0, passed=True,
        details={}, now=START,
    )  # fmt: skip
    judge(session, candidate)
    publication.publish(session, tenant_id, candidate.number, START)
    keys.create(session, tenant_id, START)
    runs.next_run_key(session, tenant_id, "identity", START)
    runs.record_outcome(session, f"run-{tenant_id[:8]}", tenant_id, {"status": "published"}, START)
    alerts.raise_alert(session, tenant_id, "kind", f"about {tenant_id}", {"tenant": tenant_id}, START)
    leases.acquire(session, leases.capture_lease(source.id), leases.Holder.current("capturer"), 30, START)
    kept_row = KeptRow("page", tenant_id[:5], "", f"of {tenant_id}", None, tenant_id.encode())
    kept_rows.write(session, source.id, [(kept_row, tenant_id)])
    slots.record(
        session, source.id, START, name=f"of_{tenant_id[:5]}", wal_status="reserved", retained_bytes=1,
        safe_bytes=None, limit_bytes=1, oldest="0/1",
    )  # fmt: skip
    failed = dead_letters.Failed(change.id, source.id, "a.md", f"of {tenant_id}", parsed.id)
    dead_letters.record(session, tenant_id, [failed], set(), START)
    builds.begin(session, tenant_id, "run", "reindex", f"of {tenant_id}", START)
    builds.add_usage(session, tenant_id, {source.id: 1}, 1.0, START.date())


def rows_by_table(session: Session) -> dict[str, list[tuple[Any, ...]]]:
    session.flush()
    return {t.name: [tuple(row) for row in session.execute(t.select())] for t in Base.metadata.sorted_tables}


def mentions(session: Session, word: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for table, rows in rows_by_table(session).items():
        yield from ((table, row) for row in rows if any(word in repr(value) for value in row))


def test_an_erasure_leaves_nothing_behind(registry: Registry) -> None:
    with registry.write() as session:
        kept, gone = add_tenant(session, "kept"), add_tenant(session, "gone")
        fill_every_table(session, kept)
        others = {table: len(rows) for table, rows in rows_by_table(session).items()}
        kept_mentions = list(mentions(session, kept))
        fill_every_table(session, gone)
    with registry.write() as session:
        grown = {t for t, rows in rows_by_table(session).items() if len(rows) > others[t]}
        of_no_tenant = {"tenant", "embedding_model", "contract_version", "suspended_owner"}
        assert grown == set(Base.metadata.tables) - of_no_tenant
        tenants.erase(session, tenants.find(session, "gone"))
    with registry.read() as session:
        assert {table for table, _ in mentions(session, gone)} == {"tenant"}
        assert list(mentions(session, "own-gone")) == []
        remains = {t: len(rows) - others[t] for t, rows in rows_by_table(session).items()}
        # Blank rows that keep two ids from being given again: the source's, and its closed lease.
        assert {t: n for t, n in remains.items() if n} == {"source": 1, "lease": 1, "contract_version": -1}
        assert sorted(kept_mentions) == sorted(mentions(session, kept))
        blank = session.scalars(select(Source).where(Source.name == "erased")).one()
        assert (blank.uri, blank.owner, blank.options, blank.position) == ("", "", {}, None)
        assert blank.removed_at is not None
        assert [s.name for s in source_rows.present(session)] == [f"own-{kept[:5]}"]


def test_what_was_under_way_for_an_erased_tenant_comes_to_nothing(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session, "acme")
        source = add_source(session, tenant_id)
        capture = leases.capture_lease(source.id)
        token = leases.acquire(session, capture, leases.Holder.current("capturer"), 30, START)
        candidate = begin_generation(session, tenant_id)
        ingest_token, ingest = candidate.fencing_token, leases.ingest_lease(tenant_id)
        number = candidate.number
        tenants.erase(session, tenants.find(session, "acme"))
    with registry.write() as session:
        with pytest.raises(LeaseLost):
            leases.renew(session, capture, token, 30, START)
        with pytest.raises(LeaseLost):
            leases.renew(session, ingest, ingest_token, 30, START)
        for later in (START, START + timedelta(days=365_000)):
            with pytest.raises(LeaseHeld):
                leases.acquire(session, capture, leases.Holder.current("another"), 30, later)
        with pytest.raises(NotFound):
            publication.publish(session, tenant_id, number, START)


def test_a_candidate_of_a_suspended_tenant_is_refused(registry: Registry) -> None:
    with registry.write() as session:
        candidate = begin_generation(session, add_tenant(session))
        judge(session, candidate)
        tenants.suspend(session, tenants.find(session, "acme"), True)
        with pytest.raises(PublicationRefused) as refusal:
            publication.publish(session, candidate.tenant_id, candidate.number, START)
        assert refusal.value.reason == "tenant_suspended"


def test_rows_that_waited_are_claimed_on_creation(registry: Registry) -> None:
    with registry.write() as session:
        shared = add_source(session, None, "shared")
        for name in ("acme", "acm", "acme2"):
            write_commit(session, shared, tenants.waiting_scope(name), upserts={f"{name}.md": f"of {name}"})
        assert changelog.waiting(session) == {"acme": 1, "acm": 1, "acme2": 1}
    with registry.write() as session:
        tenant_id = add_tenant(session, "acme")
    with registry.read() as session:
        assert changelog.waiting(session) == {"acm": 1, "acme2": 1}
        assert [c.key for c in changelog.net_changes(session, tenant_id, shared.id, 0, 9)] == ["acme.md"]
        assert len(changelog.tenant_commits(session, tenant_id, shared.id, 0)) == 1
        assert session.get(Content, (tenant_id, "of acme")) is not None
        assert session.get_one(Head, (shared.id, "acme.md")).scope == tenant_id
        assert [s.name for s in source_rows.of_tenant(session, tenant_id)] == ["shared"]


def test_a_second_tenant_of_the_name_inherits_nothing(registry: Registry) -> None:
    with registry.write() as session:
        shared = add_source(session, None, "shared")
        first = tenants.create(session, "acme", START)
        write_commit(session, shared, first.id, upserts={"a.md": "secret"})
        tenants.erase(session, first)
        second = add_tenant(session, "acme")
        assert changelog.net_changes(session, second, shared.id, 0, 9) == []
        assert session.scalars(select(Content)).all() == []


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(label=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=200))
def test_every_label_can_wait(registry: Registry, label: str) -> None:
    with Session(registry.engine) as session:
        shared = add_source(session, None, "shared")
        write_commit(session, shared, tenants.waiting_scope(label), upserts={"a.md": "x"})
        (waiting,) = changelog.waiting(session)
        assert waiting == label or (len(label) > 79 and waiting.startswith(label[:62]))
        session.rollback()


def test_long_labels_do_not_meet() -> None:
    assert tenants.waiting_scope("a" * 100) != tenants.waiting_scope("a" * 101)
    assert tenants.waiting_scope("a" * 63) == "?" + "a" * 63


def test_a_tenant_starts_with_the_contract_it_is_given(registry: Registry) -> None:
    with registry.write() as session:
        tenant = tenants.create(session, "acme", START, Contract(k=7))
        assert contracts.current(session, tenant.id).k == 7
        assert contracts.version(session, tenant.id) == 1
