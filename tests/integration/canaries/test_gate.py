"""The gate's keeping of books: verdicts under what was in force, a crash that is none, who is told."""

from __future__ import annotations

from typing import Any

import pytest

from canaries.checks import coverage
from pipelines.errors import IngestRefused
from registry import canaries, contracts, generations, verdicts
from registry.errors import PublicationRefused
from registry.verdicts import CHECKS, Verdict
from tests.support.world import TOPICS, World, red, text_about

QUERY = f"what does the {TOPICS[1]} file say"


def built(world: World, version: int = 1) -> int:
    """A candidate that waits for the gate."""
    world.commit({"d0": text_about(TOPICS[0], version=version)})
    world.capture()
    number = world.build("run").generation
    assert number is not None
    return number


def stored(world: World, number: int) -> list[Verdict]:
    """Verdicts on a generation under the contract and canaries in force."""
    with world.reading() as session:
        digest = generations.get(session, world.tenant, number).digest
        contract = contracts.current(session, world.tenant).hash
        canary = canaries.set_hash(canaries.of_tenant(session, world.tenant))
        return verdicts.of_candidate(session, world.tenant, digest, contract, canary)


def status(world: World, number: int) -> str:
    with world.reading() as session:
        return generations.get(session, world.tenant, number).status


def test_every_check_says_something_under_what_is_in_force(published: World) -> None:
    number = built(published)
    assert stored(published, number) == []
    found = published.ingestion.judge(published.tenant, number)
    assert [verdict.name for verdict in found] == list(CHECKS)
    assert all(verdict.passed for verdict in found)
    assert [v.name for v in stored(published, number)] == list(CHECKS)
    with published.reading() as session:
        run = canaries.newest_run(session, published.tenant, number, "gate")
        assert run is not None
        assert (run.queries, run.recall, run.passed) == (10, 1.0, True)
        assert len(canaries.answers(session, run.id)) == 10
    published.set_contract(owner="somebody@example.org")
    assert stored(published, number) == [], "a verdict under another contract counted"


def test_a_crash_is_no_verdict(published: World, monkeypatch: pytest.MonkeyPatch) -> None:
    number = built(published)

    def crashed(*_: Any) -> Verdict:
        raise ZeroDivisionError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(coverage, "check", crashed)
        with pytest.raises(ZeroDivisionError):
            published.ingestion.judge(published.tenant, number)
    assert stored(published, number) == []
    assert status(published, number) == "candidate"
    assert published.alerts() == []
    with pytest.raises(PublicationRefused):
        published.ingestion.publish(published.tenant, number)
    assert published.run().status == "published", "the crash wedged its tenant"


def test_a_refusal_rejects_and_tells_once(published: World) -> None:
    published.set_contract(recall_floor=0.0, mrr_floor=0.0)
    published.ask_about({QUERY: ["d1"], "something else": ["never-was"]})
    number = built(published)
    assert red(published.ingestion.judge(published.tenant, number)) == {"canary_coverage"}
    assert status(published, number) == "rejected"
    assert red(stored(published, number)) == {"canary_coverage"}
    (alert,) = published.alerts("candidate_rejected")
    assert alert.details == {"generation": number, "checks": ["canary_coverage"]}
    with pytest.raises(IngestRefused, match="is rejected: nothing to judge"):
        published.ingestion.judge(published.tenant, number)
    assert len(published.alerts()) == 1
    with pytest.raises(PublicationRefused) as refused:
        published.ingestion.publish(published.tenant, number)
    assert refused.value.reason == "not_a_candidate"


def test_what_is_live_is_judged_again_and_stays(published: World) -> None:
    assert published.ingestion.unjudged(published.tenant) is None
    published.ask_about({QUERY: ["d1"], f"what does the {TOPICS[2]} file say": ["d3"]})
    published.set_contract(k=1, recall_floor=0.6)
    assert published.ingestion.unjudged(published.tenant) == 1
    found = published.ingestion.judge(published.tenant, 1)
    assert red(found) == {"canary_recall"}
    assert status(published, 1) == "live"
    assert published.ingestion.unjudged(published.tenant) is None
    (alert,) = published.alerts("live_below_contract")
    assert "is live and breaks its contract" in alert.subject
    published.ingestion.judge(published.tenant, 1)
    assert len(published.alerts()) == 1
