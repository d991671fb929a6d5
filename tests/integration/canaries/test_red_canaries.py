"""Who is behind a red canary check is told by question and documents: in verdicts, in Dagster, in alerts."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from canaries.asset_checks import check_result, live_recall_result
from canaries.daily import ask_today
from registry import canaries
from registry.verdicts import Verdict
from tests.support.world import TOPICS, World, text_about

QUERIES = [f"what does the {topic} file say" for topic in TOPICS[:10]]


def judged(world: World) -> dict[str, Verdict]:
    world.commit({"d0": text_about(TOPICS[0], version=1)})
    world.capture()
    number = world.build("run").generation
    assert number is not None
    return {verdict.name: verdict for verdict in world.ingestion.judge(world.tenant, number)}


def shown(result: dg.AssetCheckResult) -> tuple[str, list[dict[str, Any]]]:
    table = result.metadata.get("red canaries") if result.metadata else None
    return str(result.description), [dict(record.data) for record in table.records] if table else []  # type: ignore[union-attr]


def test_a_candidate_below_its_floor_names_the_question_and_its_document(published: World) -> None:
    published.ask_about({QUERIES[1]: ["d1"], QUERIES[2]: ["d9"]})
    published.set_contract(k=1, recall_floor=0.9, mrr_floor=0.0)
    verdict = judged(published)["canary_recall"]
    (red,) = verdict.details["red_canaries"]
    assert (red["id"], red["query"], red["relevant"]) == (canaries.canary_id(QUERIES[2]), QUERIES[2], ["d9"])
    text, rows = shown(check_result(verdict))
    assert f"“{QUERIES[2]}” expects d9: not found (canary {red['id']})" in text
    assert rows == [{"question": QUERIES[2], "expects": "d9", "why": "not found", "canary": red["id"]}]
    assert "Sentence" not in text, "text of a document was told"


def test_canaries_whose_documents_are_not_there_are_named(published: World) -> None:
    published.set_contract(recall_floor=0.0, mrr_floor=0.0)
    published.ask_about({QUERIES[1]: ["d1"], "something else": ["never-was"]})
    verdict = judged(published)["canary_coverage"]
    text, rows = shown(check_result(verdict))
    assert "“something else” expects never-was: its documents are not in the index" in text
    assert [row["expects"] for row in rows] == ["never-was"]


def test_a_green_check_names_nobody(published: World) -> None:
    for verdict in judged(published).values():
        text, rows = shown(check_result(verdict))
        assert (text, rows) == (verdict.summary, [])


def test_a_red_day_names_who_lost(published: World, monkeypatch: pytest.MonkeyPatch) -> None:
    published.set_contract(recall_floor=0.5, mrr_floor=0.5)
    search = published.searcher.search

    def worse(*arguments: Any, **more: Any) -> Any:
        answer = search(*arguments, **more)
        answer.hits[:] = [hit for hit in answer.hits if hit.document != "d3"]
        return answer

    monkeypatch.setattr(published.searcher, "search", worse)
    result = ask_today(published.registry, published.searcher, published.tenant, published.clock)
    (red,) = result.red_canaries
    assert (red["id"], red["query"], red["relevant"], red["why"]) == (
        result.lost[0],
        QUERIES[3],
        ["d3"],
        "lost its answer",
    )
    text, rows = shown(live_recall_result(result))
    assert f"“{QUERIES[3]}” expects d3" in text
    assert len(rows) == 1
    (alert,) = published.alerts("canary_failed")
    assert alert.details["red_canaries"] == [red]
