"""What a run tells of itself: the names that `ingest --json` prints, and counts that add up."""

from __future__ import annotations

import json
from typing import Any

from pipelines.ingestion.ingestion import with_checks
from pipelines.ingestion.outcome import Outcome
from registry.verdicts import CHECKS, Verdict
from tests.support.world import TOPICS, World, text_about


def told(outcome: Outcome) -> dict[str, Any]:
    encoded: dict[str, Any] = json.loads(json.dumps(outcome.as_json()))
    return encoded


def test_the_names_are_the_contract_s() -> None:
    found = told(Outcome("acme", None, "unchanged", seconds=1.23456))
    assert {
        "tenant", "generation", "status", "sources", "quiescent", "documents", "chunks", "embedded", "checks",
        "seconds",
    } <= found.keys()  # fmt: skip
    assert {"live", "added", "changed", "deleted", "quarantined"} <= found["documents"].keys()
    assert set(found["chunks"]) == {"live", "added", "removed", "unchanged"}
    assert found["seconds"] == 1.235


def test_a_verdict_s_details_do_not_speak_for_it() -> None:
    verdict = Verdict("canary_recall", False, "fell", details={"passed": True, "name": "x", "recall": 0.5})
    found = told(with_checks(Outcome("acme", 2, "published"), [verdict]))
    assert found["status"] == "rejected"
    assert found["checks"] == [
        {"name": "canary_recall", "passed": False, "blocking": True, "summary": "fell", "recall": 0.5}
    ]
    warned = with_checks(Outcome("acme", 2, "published"), [Verdict("a", False, "", blocking=False)])
    assert warned.status == "published"


def test_counts_add_up_over_additions_changes_deletions_and_quarantine(published: World) -> None:
    before = told(published.run())
    assert (before["status"], before["generation"], before["embedded"]) == ("unchanged", 1, 0)
    assert before["documents"]["live"] == 10
    assert before["chunks"]["live"] == before["chunks"]["unchanged"]
    assert before["sources"] == {"docs": "c0001"}
    published.commit(
        {"d0": text_about(TOPICS[0], version=1), "new": text_about("zephyr"), "torn": {"content": " "}},
        deletes=["d9"],
    )
    found = told(published.run())
    assert (found["status"], found["generation"]) == ("published", 2)
    assert found["sources"] == {"docs": "c0002"}
    assert found["documents"] == {
        "live": 10, "added": 2, "changed": 1, "deleted": 1, "quarantined": 1, "stale": 0,
    }  # fmt: skip
    chunks = found["chunks"]
    assert (
        chunks["live"] == chunks["unchanged"] + chunks["added"] == sum(map(len, published.texts().values()))
    )
    assert chunks["unchanged"] + chunks["removed"] == before["chunks"]["live"]
    assert [check["name"] for check in found["checks"]] == list(CHECKS)
    assert found["work"]["failures"] == {"docs": 1}
    again = told(published.run())
    assert (again["status"], again["generation"]) == ("unchanged", 2)
    assert again["documents"]["quarantined"] == 1


def test_waiting_says_for_what(world: World) -> None:
    world.add_source("slow", quiescence="60", max_staleness="600")
    assert "no source has captured anything" in world.run().reason
    world.commit({"a": text_about("harbour")}, source="slow")
    outcome = world.run()
    assert (outcome.status, outcome.generation) == ("unchanged", None)
    assert outcome.reason == "waiting for a quiet point of slow"


def test_a_source_that_never_rests_is_pinned_anyway_and_says_so(world: World) -> None:
    world.add_source("busy", quiescence="60", max_staleness="35")
    for version in range(4):
        world.commit({"a": text_about("harbour", version=version)}, source="busy")
        outcome = world.run()
        assert outcome.status == "unchanged"
    world.commit({"a": text_about("harbour", version=4)}, source="busy")
    outcome = world.run()
    assert (outcome.status, outcome.quiescent, outcome.sources) == ("published", False, {"busy": "c0005"})
    live = world.live()
    assert live is not None
    assert live.quiescent is False
    assert world.search("harbour").quiescent is False
