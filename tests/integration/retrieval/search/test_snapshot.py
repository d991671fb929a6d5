"""The one view of the registry that a search works on: right, and cheap."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import delete, event, select

from registry import keys, tenants
from registry.database import Registry
from registry.errors import NotFound, TenantSuspended
from registry.schema import GenerationDocument, Source, Tenant
from retrieval.errors import GenerationNotServed, NothingPublished
from retrieval.search.snapshot import Live, of_served, take
from tests.support.world import World, text_about


@contextmanager
def statements(registry: Registry) -> Iterator[list[str]]:
    """Every statement run meanwhile, transactions aside."""
    found: list[str] = []

    def note(_1: object, _2: object, statement: str, *_3: object) -> None:
        if not statement.startswith(("BEGIN", "ROLLBACK")):
            found.append(statement)

    event.listen(registry.engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(registry.engine, "before_cursor_execute", note)


def test_a_key_and_its_snapshot_are_three_statements(published: World) -> None:
    with published.registry.write() as session:
        key = keys.create(session, published.tenant, published.clock()).key

    def look() -> None:
        with published.registry.read() as session:
            tenant = keys.authenticate(session, key, published.clock())
            live, snapshot = of_served(session, tenant, lambda live: live.number)
            assert snapshot is not None
            assert live.number == snapshot.generation

    look()
    with statements(published.registry) as found:
        look()
    assert len(found) == 3, found


def test_without_a_commit_after_the_pin_no_deletions_are_looked_for(published: World) -> None:
    def tables() -> str:
        with statements(published.registry) as found, published.reading() as session:
            take(session, published.tenant)
        return " ".join(found)

    tables()
    assert "change" not in tables().replace("exchange", "")
    published.commit({"d0": text_about("harbour", version=1)})
    published.capture()
    assert "change" in tables()


def test_what_came_and_went_after_the_generation_is_not_hidden_in_it(published: World) -> None:
    published.commit({"brief": text_about("zephyr")})
    published.commit(deletes=["brief"])
    published.commit(deletes=["d1"])
    published.capture()
    with published.reading() as session:
        assert take(session, published.tenant).hidden == {("docs", "d1")}


def test_a_generation_whose_list_of_documents_is_gone_hides_too_much_rather_than_too_little(
    published: World,
) -> None:
    published.commit(deletes=["d1"])
    published.capture()
    with published.registry.write() as session:
        session.execute(delete(GenerationDocument))
    with published.reading() as session:
        assert take(session, published.tenant).hidden == {("docs", "d1")}


def test_many_hidden_documents(published: World) -> None:
    published.set_contract(mass_deletion_share=1.0)
    published.commit({f"x{n}": f"words about number {n}" for n in range(1200)})
    assert published.run().status == "published"
    published.commit(deletes=[f"x{n}" for n in range(1200)])
    published.capture()
    with published.reading() as session:
        assert len(take(session, published.tenant).hidden) == 1200
    assert {document[0] for document in published.found("words about number", k=50)} == {"d"}


def test_by_id_or_name_and_only_while_active(published: World) -> None:
    with published.reading() as session:
        assert take(session, published.tenant) == take(session, "acme")
        with pytest.raises(NotFound):
            take(session, "nobody")
    with published.registry.write() as session:
        tenants.suspend(session, tenants.find(session, "acme"), True)
    with published.reading() as session:
        for name in ("acme", published.tenant):
            with pytest.raises(TenantSuspended):
                take(session, name)


@pytest.mark.parametrize("number", [0, -1, 2, 10**9])
def test_as_of_zero_is_not_as_of_nothing(published: World, number: int) -> None:
    with published.reading() as session, pytest.raises(GenerationNotServed, match="does not exist"):
        take(session, published.tenant, as_of=number)


def test_nothing_published(world: World) -> None:
    with world.reading() as session:
        with pytest.raises(NothingPublished):
            take(session, world.tenant)
        with pytest.raises(NothingPublished):
            of_served(session, session.scalars(select(Tenant)).one(), lambda live: live.number)


def test_what_is_served_may_be_the_generation_before(published: World) -> None:
    published.commit({"d0": text_about("harbour", version=1)})
    assert published.run().status == "published"
    asked: list[Live] = []
    with published.reading() as session:
        tenant = tenants.find(session, "acme")
        live, snapshot = of_served(session, tenant, lambda live: asked.append(live) or 1)  # type: ignore[func-returns-value]
        assert snapshot is not None
        assert (live.number, snapshot.generation, snapshot.sources) == (2, 1, {"docs": "c0001"})
        assert of_served(session, tenant, lambda _: None) == (live, None)
        assert of_served(session, tenant, 2)[1] == take(session, "acme")
    assert asked == [live]


def test_the_move_grows_with_every_move_of_the_pointer(published: World) -> None:
    moves = []
    for version in range(3):
        with published.reading() as session:
            moves.append(of_served(session, tenants.find(session, "acme"), lambda _: None)[0])
        published.commit({"d0": text_about("harbour", version=version + 1)})
        assert published.run().status == "published"
    assert [live.number for live in moves] == [1, 2, 3]
    assert moves[0].move < moves[1].move < moves[2].move


def test_a_read_transaction_sees_one_state(published: World) -> None:
    """Deleted meanwhile: the whole snapshot is from before, or the whole is from after."""
    with published.reading() as session:
        session.scalars(select(Source)).all()
        published.commit(deletes=["d1"])
        published.capture()
        assert take(session, published.tenant).hidden == frozenset()
    with published.reading() as session:
        assert take(session, published.tenant).hidden == {("docs", "d1")}
