"""Deleted means gone now: in every generation, from the commit's capture on, whatever the gate says."""

from __future__ import annotations

from registry import deletions, publication, sources
from tests.support.api import Api
from tests.support.world import TOPICS, text_about


def everything(api: Api, **more: object) -> set[str]:
    return set(api.found("the file says", k=50, **more))


def texts(api: Api, **more: object) -> str:
    return " ".join(hit.text for hit in api.search("the file says", k=1000, **more).hits)


ALL = {f"d{n}" for n in range(10)}


def test_a_captured_deletion_hides_its_document_at_once(api: Api) -> None:
    assert everything(api) == ALL
    api.world.commit(deletes=["d1"])
    assert everything(api) == ALL, "what is not captured yet is not known"
    api.world.capture()
    answer = api.search("what does the glacier file say", k=50)
    assert "d1" not in {hit.document for hit in answer.hits}
    assert (answer.generation, answer.hidden_since) == (1, 1)
    for mode in ("hybrid", "dense", "lexical"):
        assert "glacier" not in texts(api, mode=mode)
    assert everything(api, filter={"document": ["d1", "d2"]}) == {"d2"}


def test_hidden_documents_leave_their_places_to_others(api: Api) -> None:
    api.world.set_contract(mass_deletion_share=1.0)
    best = api.found("the file says", k=5)
    api.world.commit(deletes=best)
    api.world.capture()
    found = api.found("the file says", k=5)
    assert len(found) == 5
    assert not set(found) & set(best)
    assert api.search("the file says").hidden_since == 5


def test_what_is_hidden_leaves_with_the_next_generation(api: Api) -> None:
    api.world.commit(deletes=["d1"])
    assert api.world.run().status == "published"
    answer = api.search("glacier")
    assert (answer.generation, answer.hidden_since) == (2, 0)
    assert everything(api) == ALL - {"d1"}


def test_a_deletion_hides_even_where_the_gate_says_no(api: Api) -> None:
    api.world.ask_about({"nothing of the kind": ["d9"], "what does the harbour file say": ["d5"]})
    api.world.set_contract(recall_floor=1.0, k=1)
    api.world.commit({"d0": text_about(TOPICS[0], version=1)}, deletes=["d1"])
    assert api.world.run().status == "rejected"
    answer = api.search("glacier", k=50)
    assert (answer.generation, answer.hidden_since) == (1, 1)
    assert everything(api) == ALL - {"d1"}


def test_a_document_that_came_back_stays_hidden_until_publication(api: Api) -> None:
    """The generation's version of it was deleted: the new one is another."""
    api.world.commit(deletes=["d1"])
    api.world.commit({"d1": text_about("glacier", version=7)})
    api.world.capture()
    assert everything(api) == ALL - {"d1"}
    assert api.world.run().status == "published"
    assert everything(api) == ALL
    assert "edition 7" in texts(api)


def test_a_retained_generation_answers_and_hides_what_was_deleted_later(api: Api) -> None:
    api.world.commit({"d0": text_about("harbour", version=1), "new": text_about("zephyr")})
    assert api.world.run().status == "published"
    api.world.commit(deletes=["d1"])
    assert api.world.run().status == "published"
    assert everything(api) == ALL - {"d1"} | {"new"}
    first = api.search("harbour", as_of=1)
    assert (first.generation, first.hidden_since, first.sources) == (1, 1, {"docs": "c0001"})
    assert everything(api, as_of=1) == ALL - {"d1"}
    assert "edition 1" not in texts(api, as_of=1)
    assert everything(api, as_of=2) == ALL - {"d1"} | {"new"}
    assert "edition 1" in texts(api, as_of=2)
    assert api.search("harbour", as_of=3).hidden_since == 0


def test_after_a_rollback_what_was_deleted_stays_hidden(api: Api) -> None:
    api.world.commit({"new": text_about("zephyr")}, deletes=["d1"])
    assert api.world.run().status == "published"
    assert everything(api) == ALL - {"d1"} | {"new"}
    with api.registry.write() as session:
        assert publication.roll_back(session, api.world.tenant, api.world.clock()) == 1
    answer = api.search("glacier", k=50)
    assert (answer.generation, answer.hidden_since) == (1, 1)
    assert everything(api) == ALL - {"d1"}
    api.world.commit(deletes=["d2"])
    api.world.capture()
    assert everything(api) == ALL - {"d1", "d2"}


def test_a_document_that_moved_keeps_its_hit(api: Api) -> None:
    text = text_about("glacier")
    api.world.commit({"moved/d1": text}, deletes=["d1"])
    api.world.capture()
    answer = api.search("what does the glacier file say")
    assert answer.hits[0].document == "d1"
    assert answer.hidden_since == 0
    api.world.commit(deletes=["moved/d1"])
    api.world.capture()
    answer = api.search("what does the glacier file say", k=50)
    assert "d1" not in {hit.document for hit in answer.hits}
    assert answer.hidden_since == 1


def test_a_held_mass_deletion_hides_nothing_until_it_is_confirmed(api: Api) -> None:
    api.world.commit(deletes=["d1", "d2", "d3", "d4"])
    api.world.capture()
    assert everything(api) == ALL
    assert api.search("glacier").hidden_since == 0
    with api.registry.write() as session:
        deletions.decide(session, api.world.tenant, "confirmed", "a person", api.world.clock())
    assert everything(api) == ALL - {"d1", "d2", "d3", "d4"}
    assert api.search("glacier").hidden_since == 4


def test_a_rejected_mass_deletion_hides_nothing(api: Api) -> None:
    api.world.commit(deletes=["d1", "d2", "d3", "d4"])
    api.world.capture()
    with api.registry.write() as session:
        deletions.decide(session, api.world.tenant, "rejected", "a person", api.world.clock())
    assert everything(api) == ALL
    api.world.commit(deletes=["d9"])
    api.world.capture()
    assert everything(api) == ALL - {"d9"}


def test_an_unreadable_source_deletes_nothing(api: Api) -> None:
    api.world.script().fail("the disk is gone")
    api.world.capture()
    assert everything(api) == ALL
    assert api.search("glacier").hidden_since == 0


def test_a_removed_source_is_hidden_at_once_and_in_every_generation(api: Api) -> None:
    api.world.add_source("wiki")
    api.world.commit({"w1": text_about("granite"), "d1": text_about("falcon")}, source="wiki")
    assert api.world.run().status == "published"
    api.world.commit({"d0": text_about("harbour", version=1)})
    assert api.world.run().status == "published"
    both = api.search("what does the falcon file say", filter={"document": "d1"}, k=50).hits
    assert {hit.source for hit in both} == {"docs", "wiki"}
    with api.registry.write() as session:
        sources.remove(session, sources.find(session, "wiki", api.world.tenant), api.world.clock())
    for number in (None, 2):
        answer = api.search("granite falcon", k=1000, as_of=number)
        assert {hit.source for hit in answer.hits} == {"docs"}
        assert answer.hidden_since == 2
        assert "d1" in {hit.document for hit in answer.hits}, "the other source's document of that key stays"
    assert api.world.run().status == "published"
    assert api.search("granite").hidden_since == 0
