"""The live pointer: when it moves, when it is refused, and what is kept beside it."""

from __future__ import annotations

import multiprocessing
from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from registry import canaries, contracts, generations, leases, publication
from registry.canaries import Question
from registry.contract import Contract
from registry.database import Registry
from registry.errors import NotFound, PublicationRefused, RollbackRefused
from registry.publication import Published
from registry.schema import Generation
from registry.verdicts import CHECKS
from tests.support.racing import publish
from tests.support.registry_rows import START, add_tenant, begin_generation, judge

LATER = START + timedelta(hours=1)


def publish_next(session: Session, tenant_id: str) -> Published:
    candidate = begin_generation(session, tenant_id)
    judge(session, candidate)
    return publication.publish(session, tenant_id, candidate.number, LATER)


def statuses(session: Session, tenant_id: str) -> dict[int, str]:
    session.flush()
    session.expire_all()
    return {g.number: g.status for g in generations.of_tenant(session, tenant_id)}


def refusal(session: Session, candidate: Generation) -> str:
    before = generations.live(session, candidate.tenant_id)
    with pytest.raises(PublicationRefused) as refused:
        publication.publish(session, candidate.tenant_id, candidate.number, LATER)
    assert generations.live(session, candidate.tenant_id) is before
    assert f"generation {candidate.number}" in str(refused.value)
    return refused.value.reason


def test_a_judged_candidate_becomes_live(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
        assert generations.live(session, tenant_id) is None
        assert publish_next(session, tenant_id) == Published(1, None, ())
        assert publish_next(session, tenant_id) == Published(2, 1, ())
    with registry.read() as session:
        live = generations.live(session, tenant_id)
        assert live is not None
        assert (live.number, live.base, live.published_at) == (2, 1, LATER)
        assert statuses(session, tenant_id) == {1: "retained", 2: "live"}
        assert [(m.kind, m.generation) for m in publication.moves(session, tenant_id)] == [
            ("publish", 1),
            ("publish", 2),
        ]


@pytest.mark.parametrize("check", CHECKS)
def test_one_failed_check_is_enough(registry: Registry, check: str) -> None:
    with registry.write() as session:
        candidate = begin_generation(session, add_tenant(session))
        judge(session, candidate, failing=[check])
        assert refusal(session, candidate) == "checks_failed"


def test_without_a_verdict_nothing_is_published(registry: Registry) -> None:
    with registry.write() as session:
        candidate = begin_generation(session, add_tenant(session))
        assert refusal(session, candidate) == "not_judged"


def test_verdicts_count_for_their_digest_only(registry: Registry) -> None:
    with registry.write() as session:
        candidate = begin_generation(session, add_tenant(session))
        judge(session, candidate)
        candidate.digest = "another"
        assert refusal(session, candidate) == "not_judged"


def test_what_is_not_sealed_is_not_published(registry: Registry) -> None:
    with registry.write() as session:
        candidate = begin_generation(session, add_tenant(session))
        candidate.digest = ""
        judge(session, candidate)
        assert refusal(session, candidate) == "not_judged"


@pytest.mark.parametrize("change", ["contract", "canaries"])
def test_a_new_contract_or_canary_asks_for_new_verdicts(registry: Registry, change: str) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
        candidate = begin_generation(session, tenant_id)
        judge(session, candidate)
        if change == "contract":
            contracts.store(session, tenant_id, Contract(k=3), START)
        else:
            canaries.merge(session, tenant_id, [Question("q", "what?", ("a",))], START)
        assert refusal(session, candidate) == "not_judged"
        judge(session, candidate)
        assert publication.publish(session, tenant_id, candidate.number, LATER).generation == 1


def test_a_base_that_is_live_no_more_is_refused(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
        publish_next(session, tenant_id)
        candidate = begin_generation(session, tenant_id)
        judge(session, candidate)
        candidate.base = None
        assert refusal(session, candidate) == "stale_base"


def test_a_run_that_was_taken_over_is_refused(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
        candidate = begin_generation(session, tenant_id)
        judge(session, candidate)
        leases.acquire(session, leases.ingest_lease(tenant_id), leases.Holder.current("run"), 30, LATER)
        name, other = leases.ingest_lease(tenant_id), leases.Holder.current("another run")
        leases.acquire(session, name, other, 30, LATER + timedelta(minutes=1))
        assert refusal(session, candidate) == "fenced"


@pytest.mark.parametrize("end", ["published", "rejected", "abandoned", "superseded"])
def test_only_a_candidate_is_published(registry: Registry, end: str) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
        candidate = begin_generation(session, tenant_id)
        judge(session, candidate)
        if end == "published":
            publication.publish(session, tenant_id, candidate.number, LATER)
        elif end == "superseded":
            begin_generation(session, tenant_id)
        else:
            (generations.reject if end == "rejected" else generations.abandon)(session, candidate)
        assert refusal(session, candidate) == "not_a_candidate"
        with pytest.raises(NotFound):
            publication.publish(session, tenant_id, 99, LATER)


def test_of_two_processes_one_publishes(registry: Registry, registry_url: str) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for race in range(4):
            with registry.write() as session:
                tenant_id = add_tenant(session, f"race-{race}")
                first = begin_generation(session, tenant_id, digest="one")
                second = begin_generation(session, tenant_id, digest="two")
                first.status = "candidate"  # as two runs that know nothing of each other would have it
                judge(session, first)
                judge(session, second)
            calls = [(registry_url, tenant_id, number) for number in (1, 2)]
            assert sorted(pool.starmap(publish, calls, chunksize=1)) == ["published", "stale_base"]
            with registry.read() as session:
                live = generations.live(session, tenant_id)
                assert live is not None
                assert [g.number for g in generations.of_tenant(session, tenant_id, ["live"])] == [
                    live.number
                ]
                assert len(publication.moves(session, tenant_id)) == 1


def test_what_a_session_read_before_decides_nothing(postgres_url: str) -> None:
    """On SQLite no other writer can come between."""
    registry = Registry(postgres_url)
    with registry.write() as session:
        tenant_id = add_tenant(session)
        publish_next(session, tenant_id)
        candidate = begin_generation(session, tenant_id)
        judge(session, candidate)
    with registry.write() as session:
        assert generations.live(session, tenant_id) is not None
        kept_in_memory = generations.get(session, tenant_id, 2)
        with registry.write() as other:
            generations.reject(other, generations.get(other, tenant_id, 2))
        assert kept_in_memory.status == "candidate"
        assert refusal(session, kept_in_memory) == "not_a_candidate"
    registry.close()


def test_a_rollback_holds_ingestion_until_it_is_resumed(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
        for _ in range(3):
            publish_next(session, tenant_id)
        assert publication.roll_back(session, tenant_id, LATER) == 2
        assert statuses(session, tenant_id) == {1: "retained", 2: "live", 3: "retained"}
        candidate = begin_generation(session, tenant_id)
        judge(session, candidate)
        assert refusal(session, candidate) == "held"
        assert publication.resume(session, tenant_id, LATER) is True
        assert publication.resume(session, tenant_id, LATER) is False
        assert publication.publish(session, tenant_id, candidate.number, LATER).replaced == 2
        told = [(m.kind, m.generation) for m in publication.moves(session, tenant_id)][3:]
        assert told == [("rollback", 2), ("resume", 2), ("publish", 4)]


def test_a_rollback_goes_where_it_is_told(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
        for _ in range(3):
            publish_next(session, tenant_id)
        assert publication.roll_back(session, tenant_id, LATER, to=1, reason="a bad day") == 1
        assert publication.roll_back(session, tenant_id, LATER, to=3) == 3
        for to in (3, 4, 0):
            with pytest.raises(RollbackRefused, match=f"generation {to}"):
                publication.roll_back(session, tenant_id, LATER, to=to)
        assert publication.moves(session, tenant_id)[3].reason == "a bad day"


@pytest.mark.parametrize("published", [0, 1])
def test_without_an_older_generation_there_is_no_rollback(registry: Registry, published: int) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
        for _ in range(published):
            publish_next(session, tenant_id)
        with pytest.raises(RollbackRefused, match="retained: none"):
            publication.roll_back(session, tenant_id, LATER)
        begin_generation(session, tenant_id)
        with pytest.raises(RollbackRefused):
            publication.roll_back(session, tenant_id, LATER, to=published + 1)


def test_one_step_back_is_not_what_was_rolled_back_from(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
        for _ in range(3):
            publish_next(session, tenant_id)
        publication.roll_back(session, tenant_id, LATER, to=1)
        publication.resume(session, tenant_id, LATER)
        assert publish_next(session, tenant_id) == Published(4, 1, ())
        assert publication.roll_back(session, tenant_id, LATER) == 1


def test_retention_keeps_the_newest(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
        contracts.store(session, tenant_id, Contract(retained_generations=2), START)
        retired = [publish_next(session, tenant_id).retired for _ in range(5)]
        assert retired == [(), (), (), (1,), (2,)]
        assert statuses(session, tenant_id) == {
            1: "retired", 2: "retired", 3: "retained", 4: "retained", 5: "live",
        }  # fmt: skip
        contracts.store(session, tenant_id, Contract(retained_generations=1), START)
        assert publish_next(session, tenant_id).retired == (4, 3)
        with pytest.raises(RollbackRefused):
            publication.roll_back(session, tenant_id, LATER, to=3)


def test_retention_keeps_what_was_just_replaced(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
        for _ in range(3):
            publish_next(session, tenant_id)
        publication.roll_back(session, tenant_id, LATER, to=1)
        publication.resume(session, tenant_id, LATER)
        contracts.store(session, tenant_id, Contract(retained_generations=1), START)
        assert publish_next(session, tenant_id) == Published(4, 1, (3, 2))
        assert publication.roll_back(session, tenant_id, LATER) == 1


def test_numbers_are_never_given_again(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
        for number in (1, 2, 3):
            candidate = begin_generation(session, tenant_id)
            assert candidate.number == number
            generations.reject(session, candidate)
        assert statuses(session, tenant_id) == dict.fromkeys((1, 2, 3), "rejected")
        assert generations.removable(session, tenant_id) == [1, 2, 3]
        generations.record_removal(session, tenant_id, 2, LATER)
        session.flush()
        assert generations.removable(session, tenant_id) == [1, 3]


def test_a_failure_after_publishing_undoes_it(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
        candidate = begin_generation(session, tenant_id)
        judge(session, candidate)

    def interrupted() -> None:
        with registry.write() as session:
            publication.publish(session, tenant_id, 1, LATER)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with registry.read() as session:
        assert generations.live(session, tenant_id) is None
        assert statuses(session, tenant_id) == {1: "candidate"}
