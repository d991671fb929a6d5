"""The daily canaries: what is red, what is excused, and what is no measurement at all."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from canaries import daily
from canaries.daily import DailyResult, ask_today
from canaries.errors import CanaryCrashed
from registry import canaries, tenants
from registry.errors import NotFound, TenantSuspended
from registry.schema import CanaryRun
from retrieval.errors import IndexCorrupt
from tests.support.world import TOPICS, World, text_about

DAY = 86_400
QUERIES = [f"what does the {topic} file say" for topic in TOPICS[:10]]


def today(world: World, **more: Any) -> DailyResult:
    return ask_today(world.registry, world.searcher, world.tenant, world.clock, **more)


def runs(world: World) -> list[CanaryRun]:
    with world.reading() as session:
        query = select(CanaryRun).where(CanaryRun.kind == "daily").order_by(CanaryRun.id)
        return list(session.scalars(query))


def asked(world: World) -> list[set[str]]:
    """The canaries that each daily run asked."""
    found = runs(world)
    with world.reading() as session:
        return [set(canaries.answers(session, run.id)) for run in found]


def lose(world: World, monkeypatch: pytest.MonkeyPatch, *documents: str) -> None:
    """From now on searches do not find these documents, though nobody deleted them."""
    search = world.searcher.search

    def worse(*arguments: Any, **more: Any) -> Any:
        answer = search(*arguments, **more)
        answer.hits[:] = [hit for hit in answer.hits if hit.document not in documents]
        return answer

    monkeypatch.setattr(world.searcher, "search", worse)


def test_an_undisturbed_day_is_green_and_stored(published: World) -> None:
    result = today(published)
    assert (result.status, result.passed, result.queries, result.excused) == ("passed", True, 10, 0)
    assert (result.recall, result.mrr, result.lost, result.faults) == (1.0, 1.0, (), ())
    (run,) = runs(published)
    assert (run.generation, run.queries, run.recall, run.passed) == (1, 10, 1.0, True)
    assert published.alerts() == []


def test_twenty_are_asked_a_day_the_same_on_a_rerun_and_others_tomorrow(published: World) -> None:
    more = {f"{query} {n}": [f"d{i}"] for i, query in enumerate(QUERIES) for n in range(6)}
    published.ask_about(more)
    assert today(published).queries == 20
    published.clock.advance(3600)
    assert today(published).queries == 20
    published.clock.advance(DAY)
    assert today(published).queries == 20
    first, again, tomorrow = asked(published)
    assert len(first) == 20
    assert first == again
    assert first != tomorrow
    assert today(published, everything=True).queries == 60
    published.set_contract(canary_sample=7)
    assert today(published).queries == 7


def test_a_query_that_lost_its_answer_is_red_though_the_means_hold(
    published: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    published.set_contract(recall_floor=0.5, mrr_floor=0.5)
    lose(published, monkeypatch, "d3")
    result = today(published)
    assert (result.status, result.passed, result.recall) == ("failed", False, 0.9)
    assert result.lost == (canaries.canary_id(QUERIES[3]),)
    assert result.faults == ("1 canaries lost an answer that they had at the gate",)
    (alert,) = published.alerts("canary_failed")
    assert alert.details["lost"] == list(result.lost)
    assert published.live().number == 1, "it is opt-in to roll back"  # type: ignore[union-attr]

    published.clock.advance(3600)
    today(published)
    assert len(published.alerts("canary_failed")) == 1, "a rerun told it again"
    published.clock.advance(DAY)
    today(published)
    assert len(published.alerts("canary_failed")) == 2


def test_means_below_the_contract_are_red(published: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lose(published, monkeypatch, "d0", "d1", "d2")
    published.set_contract(recall_floor=0.7, mrr_floor=0.7)
    result = today(published)
    assert result.recall == pytest.approx(0.7)
    assert not [fault for fault in result.faults if "below the floor" in fault], (
        "exactly at the floor is kept"
    )
    published.set_contract(recall_floor=0.71, mrr_floor=0.0)
    assert [f.split()[0] for f in today(published).faults] == ["recall@10", "3"]
    published.set_contract(recall_floor=0.0, mrr_floor=0.71)
    assert [f.split()[0] for f in today(published).faults] == ["MRR@10", "3"]


def test_an_unlucky_sample_of_what_kept_its_floor_is_no_news(published: World) -> None:
    published.ask_about({QUERIES[n]: ["d0" if n == 9 else f"d{n}"] for n in range(10)})
    published.set_contract(k=1, recall_floor=0.9, canary_sample=1)
    published.ingestion.judge(published.tenant, 1)
    seen = set()
    for _ in range(40):
        published.clock.advance(DAY)
        result = today(published)
        assert result.passed, result.faults
        seen.add(result.recall)
    assert seen == {0.0, 1.0}, "the one that is never found was never asked"


def test_canaries_that_no_gate_has_seen_are_held_to_the_floor(published: World) -> None:
    published.ask_about({QUERIES[0]: ["d0"], QUERIES[1]: ["d1", "d99"]})
    published.set_contract(recall_floor=0.8)
    result = today(published)
    assert (result.passed, result.lost, result.recall) == (False, (), 0.75)


def test_a_contract_that_is_raised_is_red_without_any_loss(published: World) -> None:
    published.ask_about({QUERIES[0]: ["d0"], QUERIES[1]: ["d1", "d99"]})
    published.ingestion.judge(published.tenant, 1)
    result = today(published)
    assert (result.recall, result.passed) == (0.75, True)
    published.set_contract(recall_floor=0.8)
    result = today(published)
    assert (result.passed, result.lost) == (False, ())
    assert "recall@10 0.750 is below the floor of 0.800" in result.faults


def test_what_was_deleted_is_excused_and_does_not_count(published: World) -> None:
    published.commit(deletes=["d3", "d4"])
    published.capture()
    result = today(published)
    assert (result.status, result.queries, result.excused) == ("passed", 8, 2)
    assert (result.recall, result.lost) == (1.0, ())
    (run,) = runs(published)
    assert (run.queries, run.excused) == (10, 2)


def test_half_deleted_answers_are_judged_by_the_other_half(
    published: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    published.ask_about({f"{TOPICS[0]} and {TOPICS[1]} reports": ["d0", "d1"]})
    published.commit({"x": text_about("zephyr")})
    assert published.run().status == "published"
    published.commit(deletes=["d0"])
    published.capture()
    result = today(published)
    assert (result.recall, result.queries, result.lost, result.passed) == (1.0, 1, (), True)
    lose(published, monkeypatch, "d1")
    result = today(published)
    assert (result.recall, len(result.lost), result.passed) == (0.0, 1, False)


def test_when_everything_asked_for_is_deleted_it_is_unguarded_and_not_green(published: World) -> None:
    published.ask_about({QUERIES[0]: ["d0"]})
    published.commit(deletes=["d0"])
    published.capture()
    result = today(published)
    assert (result.status, result.passed, result.recall, result.excused) == ("unguarded", False, None, 1)
    assert published.alerts() == []


def test_without_canaries_or_a_generation_nothing_is_green(world: World) -> None:
    assert (today(world).status, today(world).passed) == ("unpublished", False)
    world.commit({"d0": text_about("harbour")})
    assert world.run().status == "published"
    assert (today(world).status, today(world).passed) == ("unguarded", False)
    assert runs(world) == []


def test_a_crash_is_no_drop(published: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise IndexCorrupt("segment 3 does not match its digest")

    monkeypatch.setattr(published.searcher, "search", broken)
    with pytest.raises(CanaryCrashed, match="segment 3") as crashed:
        today(published)
    assert isinstance(crashed.value.__cause__, IndexCorrupt)
    assert runs(published) == [], "a crash was stored as a measurement"
    assert published.alerts("canary_failed") == []


def test_a_refusal_is_a_miss_and_no_crash(published: World) -> None:
    published.set_contract(result_floor_cosine=1.0, on_floor_unmet="refuse")
    result = today(published)
    assert (result.status, result.recall, len(result.lost)) == ("failed", 0.0, 10)


def test_it_rolls_back_one_step_where_the_contract_says_so(
    published: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    published.set_contract(roll_back_on_canary_failure=True)
    published.commit({"d0": text_about(TOPICS[0], version=1)})
    assert published.run().status == "published"
    lose(published, monkeypatch, "d5")
    assert today(published).rolled_back_to == 1
    live = published.live()
    assert live is not None
    assert live.number == 1
    assert published.run().status == "held"
    again = today(published)
    assert again.rolled_back_to is None
    assert again.details["rollback"], "it does not say why it went no further back"
    assert published.live().number == 1  # type: ignore[union-attr]


def test_a_line_that_moved_to_another_file_is_still_asked_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.set_contract(mass_deletion_share=1.0)
    world.commit({f"old.jsonl#{n}": text_about(TOPICS[n]) for n in range(4)})
    world.ask_about({QUERIES[n]: [str(n)] for n in range(4)})
    assert world.run().status == "published"
    moved = {f"new.jsonl#{n}": text_about(TOPICS[n]) for n in range(3)}
    world.commit(moved, deletes=[f"old.jsonl#{n}" for n in range(4)])
    outcome = world.run()
    assert outcome.status == "published", [v.summary for v in outcome.checks]
    result = today(world)
    assert (result.queries, result.excused, result.recall) == (3, 1, 1.0), "moved lines count as deleted"
    lose(world, monkeypatch, "new.jsonl#1")
    assert today(world).passed is False


def meanwhile(monkeypatch: pytest.MonkeyPatch, *, happens: Any, after: bool = False) -> None:
    """Something happens just before the day's canaries are asked, or just after."""
    ask, due = daily.ask, [happens]

    def asked_of(*given: Any) -> Any:
        if due and not after:
            due.pop()()
        found = ask(*given)
        if due:
            due.pop()()
        return found

    monkeypatch.setattr(daily, "ask", asked_of)


def test_what_is_published_over_while_it_is_asked_is_asked_of_what_is_live_then(
    published: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    published.set_contract(retained_generations=1)

    def publish() -> None:
        for version in (2, 3):
            published.commit({"d0": text_about(TOPICS[0], version=version)})
            assert published.run().status == "published"

    meanwhile(monkeypatch, happens=publish)
    assert (today(published).generation, published.index_entries()) == (3, ["2", "3"])


@pytest.mark.parametrize("after", [False, True])
def test_of_a_tenant_that_is_erased_while_it_is_asked_nothing_is_kept(
    published: World, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    def erase() -> None:
        with published.registry.write() as session:
            tenants.erase(session, tenants.find(session, published.tenant))

    meanwhile(monkeypatch, happens=erase, after=after)
    with pytest.raises(NotFound, match="there is no tenant"):
        today(published)
    assert runs(published) == []


def test_a_tenant_that_is_suspended_while_it_is_asked_did_not_crash(
    published: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def suspend() -> None:
        with published.registry.write() as session:
            tenants.suspend(session, tenants.find(session, published.tenant), True)

    meanwhile(monkeypatch, happens=suspend)
    with pytest.raises(TenantSuspended):
        today(published)


def test_what_is_deleted_while_it_is_asked_explains_what_is_missed(
    published: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    search, due = published.searcher.search, ["d4"]

    def search_after(*given: Any, **more: Any) -> Any:
        if due:
            published.commit(deletes=[due.pop()])
            published.capture()
        return search(*given, **more)

    monkeypatch.setattr(published.searcher, "search", search_after)
    result = today(published)
    assert (result.status, result.queries, result.excused, result.lost) == ("passed", 9, 1, ())


def test_a_deletion_explains_a_loss_until_the_next_generation_also_of_what_came_back(
    published: World,
) -> None:
    published.commit(deletes=["d4"])
    published.capture()
    published.commit({"d4": text_about(TOPICS[4])})
    published.capture()
    result = today(published)
    assert (result.status, result.queries, result.excused, result.lost) == ("passed", 9, 1, ())
    assert published.run().status == "published"
    result = today(published)
    assert (result.status, result.queries, result.excused) == ("passed", 10, 0)
