"""What is kept beside the live generation, going back to it, and asking it."""

from __future__ import annotations

import pytest

from registry import generations, publication
from registry.errors import PublicationRefused, RollbackRefused
from retrieval.errors import GenerationNotServed
from tests.support.world import TOPICS, World, generation_ref, text_about


def advance(world: World, versions: range) -> None:
    """Publish a generation a version of d0."""
    for version in versions:
        world.commit({"d0": text_about(TOPICS[0], version=version)})
        assert world.run().status == "published"


def statuses(world: World) -> dict[int, str]:
    with world.reading() as session:
        return {g.number: g.status for g in generations.of_tenant(session, world.tenant)}


def edition(world: World, as_of: int | None = None) -> int:
    """Which version of d0 a generation answers with."""
    hits = world.search(f"the {TOPICS[0]} report edition", k=50, as_of=as_of).hits
    (said,) = {
        h.text.split("edition ")[1].split(".")[0] for h in hits if h.document == "d0" and "edition" in h.text
    }
    return int(said)


def test_the_contract_s_number_is_kept_beside_the_live_one(published: World) -> None:
    published.set_contract(retained_generations=2)
    advance(published, range(1, 5))
    assert statuses(published) == {1: "retired", 2: "retired", 3: "retained", 4: "retained", 5: "live"}
    assert published.store.generations(published.tenant) == [3, 4, 5]
    published.set_contract(retained_generations=1)
    advance(published, range(5, 6))
    assert published.store.generations(published.tenant) == [5, 6]
    with published.reading() as session:
        assert generations.documents(session, published.tenant, 3) == []
        assert len(generations.documents(session, published.tenant, 5)) == 10


def test_what_a_reader_holds_stays_until_it_is_let_go(published: World) -> None:
    published.set_contract(retained_generations=1)
    first = published.live()
    assert first is not None
    with published.store.open(generation_ref(first)) as reader:
        advance(published, range(1, 4))
        assert statuses(published)[1] == "retired"
        assert published.store.generations(published.tenant) == [1, 3, 4], "2 had no reader, 1 had one"
        assert sum(1 for _ in reader.points()) == reader.count() > 0
        with published.reading() as session:
            assert generations.get(session, published.tenant, 1).removed_at is None
    published.build()
    published.ingestion.release(published.tenant, f"run-{published.runs}")
    assert published.store.generations(published.tenant) == [3, 4]


def test_a_rejected_candidate_is_kept_while_it_is_the_newest(published: World) -> None:
    published.ask_about({"no such thing": ["never"]})
    published.commit({"d0": text_about(TOPICS[0], version=1)})
    assert published.run().status == "rejected"
    published.build()
    published.ingestion.release(published.tenant, f"run-{published.runs}")
    assert published.store.generations(published.tenant) == [1, 2]
    published.ask_about({f"what does the {TOPICS[1]} file say": ["d1"]})
    advance(published, range(2, 3))
    assert statuses(published) == {1: "retained", 2: "rejected", 3: "live"}
    assert published.store.generations(published.tenant) == [1, 3]


def test_as_of_answers_with_the_generation_that_was_minus_what_is_deleted(either: World) -> None:
    advance(either, range(1, 3))
    assert [edition(either, as_of) for as_of in (1, 2, 3, None)] == [0, 1, 2, 2]
    assert either.search("report", as_of=1).sources == {"docs": "c0001"}
    assert either.search("report", as_of=2).sources == {"docs": "c0002"}
    either.commit(deletes=["d1"])
    either.capture()
    for as_of in (1, 2, 3, None):
        answer = either.search(f"what does the {TOPICS[1]} file say", k=50, as_of=as_of)
        assert answer.hidden_since == 1
        assert "d1" not in {hit.document for hit in answer.hits}
    for absent in (0, 4, 99):
        with pytest.raises(GenerationNotServed, match=f"generation {absent} "):
            either.search("report", as_of=absent)


def test_as_of_refuses_what_is_retired_rejected_or_only_a_candidate(published: World) -> None:
    published.set_contract(retained_generations=1)
    advance(published, range(1, 3))
    with pytest.raises(GenerationNotServed, match="is retired; served are 3, 2"):
        published.search("report", as_of=1)
    published.commit({"d0": text_about(TOPICS[0], version=3)})
    published.capture()
    assert published.build("left alone").generation == 4
    with pytest.raises(GenerationNotServed, match="is candidate"):
        published.search("report", as_of=4)
    assert published.search("report").generation == 3


def test_a_rollback_holds_ingestion_until_it_is_resumed(either: World) -> None:
    advance(either, range(1, 3))
    with either.registry.write() as session:
        assert publication.roll_back(session, either.tenant, either.clock()) == 2
    assert edition(either) == 1
    assert statuses(either) == {1: "retained", 2: "live", 3: "retained"}
    either.commit({"d0": text_about(TOPICS[0], version=3)})
    outcome = either.run()
    assert (outcome.status, outcome.generation) == ("held", 2)
    assert "rolled back from generation 3 to 2" in outcome.reason
    assert edition(either) == 1, "a held tenant was given something new"
    with either.registry.write() as session:
        assert publication.resume(session, either.tenant, either.clock())
        assert not publication.resume(session, either.tenant, either.clock())
    outcome = either.run()
    assert (outcome.status, outcome.generation) == ("published", 4)
    assert edition(either) == 3
    assert statuses(either) == {1: "retained", 2: "retained", 3: "retained", 4: "live"}


def test_a_rollback_in_the_middle_of_a_run_keeps_its_candidate_back(published: World) -> None:
    advance(published, range(1, 2))
    published.commit({"d0": text_about(TOPICS[0], version=2)})
    published.capture()
    assert published.build("run").generation == 3
    assert not [v for v in published.ingestion.judge(published.tenant, 3) if v.holds_back]
    with published.registry.write() as session:
        publication.roll_back(session, published.tenant, published.clock())
    with pytest.raises(PublicationRefused) as refused:
        published.ingestion.publish(published.tenant, 3)
    assert refused.value.reason == "held"
    with published.registry.write() as session:
        publication.resume(session, published.tenant, published.clock())
    with pytest.raises(PublicationRefused) as refused:
        published.ingestion.publish(published.tenant, 3)
    assert refused.value.reason == "stale_base"
    assert edition(published) == 0
    published.ingestion.release(published.tenant, "run")
    assert published.run().status == "published"
    assert edition(published) == 2


def test_a_rollback_goes_only_where_something_is_kept(published: World) -> None:
    with (
        published.registry.write() as session,
        pytest.raises(RollbackRefused, match="does not retain an older"),
    ):
        publication.roll_back(session, published.tenant, published.clock())
    published.set_contract(retained_generations=1)
    advance(published, range(1, 3))
    for absent in (1, 3, 9):
        with (
            published.registry.write() as session,
            pytest.raises(RollbackRefused, match=f"generation {absent}"),
        ):
            publication.roll_back(session, published.tenant, published.clock(), to=absent)
    assert statuses(published) == {1: "retired", 2: "retained", 3: "live"}
    assert edition(published) == 2


def test_what_was_rolled_back_to_is_what_deletions_are_hidden_in(published: World) -> None:
    published.commit(deletes=["d1"])
    assert published.run().status == "published"
    with published.registry.write() as session:
        publication.roll_back(session, published.tenant, published.clock())
    answer = published.search(f"what does the {TOPICS[1]} file say", k=50)
    assert (answer.generation, answer.hidden_since) == (1, 1)
    assert "d1" not in {hit.document for hit in answer.hits}
