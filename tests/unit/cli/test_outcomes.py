"""What a person reads of a run: first what was held or refused and why, then what to do, then the numbers."""

from __future__ import annotations

import pytest

from cli.commands.ingest import print_outcome
from pipelines.ingestion.outcome import Outcome
from registry import publication
from tests.support.world import TOPICS, World, empty_world, migrated_home, published, text_about, world

__all__ = ["empty_world", "migrated_home", "published", "world"]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def printed(outcome: Outcome, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    print_outcome(outcome.as_json())
    told = capsys.readouterr()
    assert max(map(len, told.out.splitlines())) <= 80
    return told.out, told.err


def test_a_published_run_shows_its_numbers(published: World, capsys: pytest.CaptureFixture[str]) -> None:
    published.commit({"d0": text_about(TOPICS[0], version=1)})
    out, err = printed(published.run(), capsys)
    assert out.startswith("acme published, generation 2,")
    assert "documents    10" in out
    assert "canary_recall" in out
    assert err == ""


def test_ingestion_that_a_rollback_holds_says_so_and_shows_no_zeros(
    published: World, capsys: pytest.CaptureFixture[str]
) -> None:
    published.commit({"d0": text_about(TOPICS[0], version=1)})
    assert published.run().status == "published"
    with published.registry.write() as session:
        publication.roll_back(session, published.tenant, published.clock(), reason="a bad day")
    out, err = printed(published.run(), capsys)
    first, *rest = out.splitlines()
    assert first.startswith("acme held, generation 1 stays live")
    assert " ".join(rest) == "Ingestion is held: a bad day. Nothing was built."
    assert "holdfast resume --tenant acme" in err


def test_held_deletions_are_told_also_where_a_run_published_up_to_them(
    published: World, capsys: pytest.CaptureFixture[str]
) -> None:
    published.commit({"d0": text_about(TOPICS[0], version=1)})
    published.commit(deletes=["d1", "d2", "d3", "d4"])
    out, err = printed(published.run(), capsys)
    assert out.splitlines()[0].startswith("acme published, generation 2")
    assert out.splitlines()[1].startswith("Deletions wait for a person")
    assert "docs @ c0003" in out
    assert out.index("Deletions wait") < out.index("documents")
    assert "holdfast deletion confirm|reject --tenant acme" in err


def test_a_refused_candidate_names_its_check_and_canaries_before_its_numbers(
    published: World, capsys: pytest.CaptureFixture[str]
) -> None:
    question = f"what does the {TOPICS[1]} file say"
    published.ask_about({question: ["d9"]})
    published.set_contract(k=1, recall_floor=0.9)
    published.commit({"d0": text_about(TOPICS[0], version=1)})
    out, err = printed(published.run(), capsys)
    places = [out.index(part) for part in ("acme rejected", "canary_recall", "what does the", "documents  ")]
    assert places == sorted(places)
    (row,) = (line for line in out.splitlines() if "what does the" in line)
    assert "d9" in row
    assert "not found" in row
    for command in ("canary import FILE --tenant acme", "contract set --tenant acme KEY=VALUE"):
        assert f"holdfast {command}" in err
    again, why = printed(published.run(), capsys)
    assert "canary_recall" in again
    assert "neither its pins, its configuration, the contract nor the canaries changed" in why
