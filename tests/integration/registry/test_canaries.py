"""Canaries in the registry: sets, their hash, and what came of asking them."""

from __future__ import annotations

from registry import canaries
from registry.canaries import Answer, Question
from registry.database import Registry
from tests.support.registry_rows import START, add_tenant


def question(text: str, *relevant: str) -> Question:
    return Question(canaries.canary_id(text), text, relevant)


def test_merging_adds_and_replaces_by_query(registry: Registry) -> None:
    with registry.write() as session:
        acme, beta = add_tenant(session, "acme"), add_tenant(session, "beta")
        assert canaries.merge(session, acme, [question("one", "a"), question("two", "b")], START) == 2
        assert canaries.merge(session, acme, [question(" one ", "c")], START) == 1
        canaries.merge(session, beta, [question("one", "z")], START)
        found = {q.query.strip(): q.relevant for q in canaries.of_tenant(session, acme)}
        assert found == {"one": ("c",), "two": ("b",)}
        assert canaries.replace(session, acme, [question("three", "d", "e")], START) == 1
        assert canaries.of_tenant(session, acme) == [question("three", "d", "e")]
        assert canaries.of_tenant(session, beta) == [question("one", "z")]


def test_the_hash_of_a_set_does_not_know_its_order() -> None:
    one, two = question("one", "a", "b"), question("two", "c")
    assert canaries.set_hash([one, two]) == canaries.set_hash([two, question("one", "b", "a")])
    others = ([one], [one, question("two", "d")], [one, question("three", "c")], [])
    assert len({canaries.set_hash(s) for s in ([one, two], *others)}) == 5


def test_a_run_is_kept_with_every_answer(registry: Registry) -> None:
    told = [Answer("1", ("a", "b"), 0.5, 1.0), Answer("2", (), 0.0, 0.0), Answer("3", (), None, None)]
    with registry.write() as session:
        tenant_id = add_tenant(session)
        for passed in (False, True):
            run = canaries.store_run(
                session, tenant_id=tenant_id, generation=1, kind="gate", canary_hash="c", contract_hash="k",
                k=10, answers=told, recall=0.25, mrr=0.5, passed=passed, details={}, now=START,
            )  # fmt: skip
        assert (run.queries, run.excused) == (3, 1)
        newest = canaries.newest_run(session, tenant_id, 1, "gate")
        assert newest is not None
        assert newest.id == run.id
        assert canaries.newest_run(session, tenant_id, 1, "daily") is None
        assert canaries.newest_run(session, tenant_id, 2, "gate") is None
        assert list(canaries.answers(session, run.id).values()) == told
