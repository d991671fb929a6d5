"""`fresh` is red when something captured has waited too long, whatever keeps it waiting."""

from __future__ import annotations

from pipelines.freshness import Freshness, freshness
from registry import publication, tenants
from tests.support.world import TOPICS, World, empty_world, migrated_home, published, text_about, world

__all__ = ["empty_world", "migrated_home", "published", "world"]

ALLOWED = 3600.0


def now(world: World) -> Freshness:
    with world.reading() as session:
        return freshness(session, world.tenant, world.clock())


def look(world: World) -> None:
    """What the capturer does all the time."""
    world.capture()


def late(world: World) -> Freshness:
    """What is said just before and just after the allowed time, with a capturer that goes on looking."""
    world.set_contract(freshness_seconds=ALLOWED)
    look(world)
    world.clock.advance(ALLOWED)
    look(world)
    before = now(world)
    assert before.fresh, before.summary
    world.clock.advance(1)
    look(world)
    return now(world)


def test_what_is_published_is_fresh_however_old(published: World) -> None:
    assert late(published).fresh
    published.clock.advance(ALLOWED * 100)
    look(published)
    found = now(published)
    assert (found.fresh, found.age_seconds) == (True, 0.0)


def test_no_run(published: World) -> None:
    position = published.commit({"d10": text_about(TOPICS[10])})
    found = late(published)
    assert (found.fresh, found.position, found.age_seconds) == (False, position, ALLOWED + 1)
    assert "no run published it" in found.summary
    published.run()
    assert now(published).fresh


def test_an_older_commit_of_one_source_is_not_hidden_by_a_new_source(published: World) -> None:
    published.commit({"d10": text_about(TOPICS[10])})
    look(published)
    published.clock.advance(ALLOWED - 10)
    published.add_source("second")
    published.script("second").append(published.clock().replace(year=2001), {"ancient": "an ancient text"})
    published.set_contract(freshness_seconds=ALLOWED)
    look(published)
    assert now(published).fresh, "an old commit of a source that was just added is not late"
    published.clock.advance(11)
    look(published)
    found = now(published)
    assert (found.fresh, found.age_seconds) == (False, ALLOWED + 1)


def test_a_source_that_is_down(published: World) -> None:
    published.set_contract(freshness_seconds=ALLOWED)
    look(published)
    published.script().fail("connection refused")
    published.clock.advance(ALLOWED)
    look(published)
    assert now(published).fresh
    published.clock.advance(1)
    look(published)
    found = now(published)
    assert not found.fresh
    assert "docs" in found.summary
    assert "connection refused" in found.summary
    published.script().fail("")
    look(published)
    assert now(published).fresh


def test_a_capturer_that_is_down(published: World) -> None:
    published.set_contract(freshness_seconds=ALLOWED)
    look(published)
    published.clock.advance(ALLOWED + 1)
    found = now(published)
    assert not found.fresh
    assert "no capturer looks at it" in found.summary


def test_a_source_that_was_never_read(world: World) -> None:
    world.set_contract(freshness_seconds=ALLOWED)
    world.clock.advance(ALLOWED + 1)
    assert not now(world).fresh


def test_ingestion_that_is_held(published: World) -> None:
    published.commit({"d10": text_about(TOPICS[10])})
    published.run()
    with published.registry.write() as session:
        publication.roll_back(session, published.tenant, published.clock())
    assert published.run().status == "held"
    found = late(published)
    assert not found.fresh
    assert "held" in found.summary
    with published.registry.write() as session:
        publication.resume(session, published.tenant, published.clock())
    assert published.run().status == "published"
    assert now(published).fresh


def test_a_red_gate(published: World) -> None:
    published.commit({"d10": text_about(TOPICS[10])})
    published.set_contract(recall_floor=1.0, mrr_floor=1.0)
    published.ask_about({f"what does the {TOPICS[1]} file say": ["d0"]})
    assert published.run().status == "rejected"
    found = late(published)
    assert not found.fresh
    assert "rejected by its checks" in found.summary


def test_a_mass_deletion_that_waits(published: World) -> None:
    published.commit(deletes=[f"d{n}" for n in range(6)])
    look(published)
    assert published.run().status == "held"
    found = late(published)
    assert not found.fresh
    assert "deletion list" in found.summary


def test_a_suspended_tenant(published: World) -> None:
    published.commit({"d10": text_about(TOPICS[10])})
    with published.registry.write() as session:
        tenants.suspend(session, tenants.find(session, published.tenant), True)
    found = late(published)
    assert not found.fresh
    assert "suspended" in found.summary


def test_a_commit_of_unreadable_documents_alone(published: World) -> None:
    published.commit(unreadable={"locked": "permission denied"})
    assert not late(published).fresh
    assert published.run().status == "published"
    assert now(published).fresh


def test_a_first_commit_without_documents(world: World) -> None:
    world.commit({})
    look(world)
    world.clock.advance(1)
    assert world.run().status == "published", "an empty source is a state too"
    assert late(world).fresh


def test_a_deletion_of_the_last_document(published: World) -> None:
    published.set_contract(mass_deletion_share=1.0, freshness_seconds=ALLOWED)
    published.commit(deletes=[f"d{n}" for n in range(10)])
    published.run()
    assert late(published).fresh
    assert published.documents() == {}


def test_rows_that_waited_for_their_tenant_are_not_late_when_it_comes(empty_world: World) -> None:
    script = empty_world.add_source("shared", tenant=None)
    script.append(empty_world.clock(), {"a": {"content": "text about a", "tenant": "late"}})
    empty_world.ingestion.capturer.catch_up_all()
    empty_world.clock.advance(ALLOWED * 1000)
    empty_world.ingestion.capturer.catch_up_all()
    empty_world.add_tenant("late")
    empty_world.set_contract(freshness_seconds=ALLOWED)
    assert now(empty_world).fresh
    assert not late(empty_world).fresh
