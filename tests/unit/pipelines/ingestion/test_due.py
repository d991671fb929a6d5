"""Who is due: exactly those whose run would build something."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import event

from pipelines.build.document_preparer import DocumentPreparer
from pipelines.ingestion.due import Due, due_tenants
from pipelines.ingestion.resting import at_rest
from registry import leases, publication, sources, tenants
from tests.support.fake_encoder import FakeEncoder
from tests.support.world import TOPICS, World, text_about


def due(world: World) -> list[Due]:
    """Who is due, told with and without the shortcut for all who rest."""
    configuration = world.ingestion.configuration
    found = due_tenants(world.registry, configuration, world.clock)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.ingestion.due.at_rest", lambda *_: set())
        assert due_tenants(world.registry, configuration, world.clock) == found
    return found


def resting(world: World) -> set[str]:
    with world.reading() as session:
        return at_rest(session, world.ingestion.configuration)


def is_due(world: World) -> bool:
    found = [one.tenant_id for one in due(world)]
    assert len(found) == len(set(found))
    return world.tenant in found


def change(world: World, version: int = 1) -> None:
    world.commit({"d0": text_about(TOPICS[0], version=version)})
    world.capture()


def test_nothing_is_due_before_anything_was_captured(world: World) -> None:
    assert due(world) == []
    world.commit({"d0": text_about("harbour")})
    assert due(world) == [], "what nobody captured is not known"
    world.capture()
    assert [one.tenant_id for one in due(world)] == [world.tenant]


def test_a_change_is_due_until_it_is_published(either: World) -> None:
    assert not is_due(either)
    change(either)
    assert is_due(either)
    (found,) = due(either)
    outcome = either.run()
    assert outcome.status == "published"
    live = either.live()
    assert live is not None
    assert live.identity == found.identity, "another generation was announced than was built"
    assert not is_due(either)


def test_a_change_that_changes_nothing_is_not_due(published: World) -> None:
    published.commit({"d0": text_about(TOPICS[0])})
    published.capture()
    assert due(published) == []
    published.clock.advance(10**6)
    published.capture()
    assert due(published) == []


def test_all_who_rest_are_told_by_as_many_statements_as_one(either: World) -> None:
    either.add_source("shared", tenant=None)
    names = ["acme", *(f"tenant{number:02}" for number in range(12))]
    first = either.tenant
    ids = [first, *(either.add_tenant(name) for name in names[1:])]
    either.tenant = first
    either.script("shared").append(
        either.clock(),
        {f"{name}/page": {"content": text_about("harbour"), "tenant": name} for name in names},
    )
    assert resting(either) == {ids[0]}, "what nobody captured is not known"
    either.ask_about({})
    for tenant_id in ids:
        assert either.run(tenant_id).status == "published", tenant_id
    assert resting(either) == set(ids)
    statements: list[str] = []
    event.listen(either.registry.engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    assert due(either) == []
    # Half of them are of the look without the shortcut.
    assert len(statements) > 10 * len(ids)
    statements.clear()
    assert due_tenants(either.registry, either.ingestion.configuration, either.clock) == []
    assert len(statements) < 12
    changed = {"content": text_about("copper"), "tenant": "tenant07"}
    either.script("shared").append(either.clock(), {"tenant07/page": changed})
    either.capture()
    assert resting(either) == {*ids} - {ids[8]}
    assert [one.tenant_id for one in due(either)] == [ids[8]]


def test_a_quiet_point_is_awaited(world: World) -> None:
    world.add_source("slow", quiescence="60", max_staleness="600")
    world.commit({"a": text_about("harbour")}, source="slow")
    world.capture()
    assert due(world) == []
    world.clock.advance(50)
    world.capture()
    assert due(world) == []
    world.clock.advance(10)
    world.capture()
    assert is_due(world)


def test_a_source_that_is_down_does_not_grow_quiet(world: World) -> None:
    slow = world.add_source("slow", quiescence="60", max_staleness="600")
    world.commit({"a": text_about("harbour")}, source="slow")
    world.capture()
    slow.fail("connection refused")
    world.clock.advance(3600)
    world.capture()
    assert due(world) == [], "what the source did since is not known"
    slow.fail("")
    world.capture()
    assert is_due(world)


def test_held_tenants_are_not_due_until_resumed(published: World) -> None:
    change(published)
    assert published.run().status == "published"
    with published.registry.write() as session:
        publication.roll_back(session, published.tenant, published.clock())
    change(published, version=2)
    assert not is_due(published)
    with published.registry.write() as session:
        publication.resume(session, published.tenant, published.clock())
    assert is_due(published)


def test_suspended_tenants_are_not_due(published: World) -> None:
    change(published)
    assert is_due(published)
    with published.registry.write() as session:
        tenants.suspend(session, tenants.find(session, published.tenant), True)
    assert due(published) == []


def test_a_tenant_that_is_being_ingested_is_not_due_until_its_lease_ends(either: World) -> None:
    change(either)
    either.build("elsewhere")
    assert not is_due(either)
    either.clock.advance(either.settings.lease_seconds + 1)
    assert is_due(either), "a run that is gone would keep its tenant for ever"
    either.build("again")
    assert not is_due(either)
    either.ingestion.release(either.tenant, "again")
    assert is_due(either)


def test_a_dead_process_does_not_keep_its_tenant(published: World) -> None:
    change(published)
    dead = replace(leases.Holder.current("dead"), started=1.0)
    with published.registry.write() as session:
        leases.acquire(session, leases.ingest_lease(published.tenant), dead, 600, published.clock())
    assert is_due(published)


def spoil(world: World) -> None:
    """A change whose candidate the gate refuses."""
    world.set_contract(recall_floor=1.0)
    world.ask_about({f"what does the {TOPICS[1]} file say": ["d0"], "no such thing": ["d2"]})
    world.set_contract(k=1)
    change(world)
    assert world.run().status == "rejected"


def test_time_alone_makes_nothing_rejected_due(published: World) -> None:
    spoil(published)
    assert not is_due(published)
    published.clock.advance(10**7)
    assert not is_due(published), "time alone changes nothing"


def canaries_change(world: World) -> None:
    world.ask_about({f"what does the {TOPICS[1]} file say": ["d1"]})


def contract_changes(world: World) -> None:
    world.set_contract(recall_floor=0.0, mrr_floor=0.0, allowed_drop=1.0)


def pins_change(world: World) -> None:
    change(world, version=2)


def model_changes(world: World) -> None:
    world.use_encoder(FakeEncoder("other", seed=3))


def parser_changes(world: World) -> None:
    class Next(DocumentPreparer):
        def configuration(self, model_id: str):
            return replace(DocumentPreparer.configuration(self, model_id), parser="next")

    p = world.ingestion.preparer
    following = Next(p.chunker, p.analyzer, p.tokenizer, p.max_tokens, p.max_bytes)
    world.ingestion = replace(world.ingestion, preparer=following)


CHANGES = [canaries_change, contract_changes, pins_change, model_changes, parser_changes]


@pytest.mark.parametrize("changes", CHANGES, ids=[c.__name__ for c in CHANGES])
def test_each_change_makes_a_rejected_one_due(published: World, changes) -> None:
    spoil(published)
    assert not is_due(published)
    before = published.live()
    again = published.run()
    assert (again.status, again.generation) == ("rejected", 2)
    assert "was rejected and neither its pins" in again.reason
    changes(published)
    assert is_due(published)
    after = published.run()
    assert after.reason == "", "it was not judged anew"
    passes = changes in (canaries_change, contract_changes)
    assert after.status == ("published" if passes else "rejected")
    # Under other canaries or another contract the same candidate is judged, not built, again.
    assert after.generation == (2 if passes else 3)
    assert not is_due(published)
    live = published.live()
    assert live is not None
    assert before is not None
    assert live.number == (2 if passes else before.number)


def test_a_removed_source_is_due_once(published: World) -> None:
    published.add_source("more")
    published.commit({"m": text_about("zephyr")}, source="more")
    published.ask_about({})
    assert published.run().status == "published"
    with published.registry.write() as session:
        sources.remove(session, sources.find(session, "more", published.tenant), published.clock())
    assert is_due(published)
    outcome = published.run()
    assert (outcome.status, outcome.documents.deleted) == ("published", 1)
    assert due(published) == []


def test_held_deletions_are_not_due_and_decided_ones_are(published: World) -> None:
    published.commit(deletes=["d0", "d1", "d2"])
    published.capture()
    assert due(published) == []
    from registry import deletions

    with published.registry.write() as session:
        deletions.decide(session, published.tenant, "rejected", "me", published.clock())
    assert is_due(published)
    assert published.run().status == "published"
    assert due(published) == []


def test_a_source_that_was_emptied_and_then_removed_is_not_due_for_ever(world: World) -> None:
    world.commit({"only": text_about("harbour")})
    assert world.run().status == "published"
    world.commit(deletes=["only"])
    assert world.run().status == "published"
    with world.registry.write() as session:
        (source,) = sources.present(session)
        sources.remove(session, source, world.clock())
    assert due(world) == []
    assert world.run().status == "unchanged"
