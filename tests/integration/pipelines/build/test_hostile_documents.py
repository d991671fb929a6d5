"""Documents that make a parser spin or crash: each is a dead letter, and the batch goes on around them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.build.isolated_preparer import IsolatedPreparer
from registry import dead_letters
from registry.errors import TenantSuspended
from tests.support.hostile_preparer import HostilePreparer
from tests.support.world import World, text_about

MEMORY = 512 * 2**20


@pytest.fixture
def hostile(published: World, tmp_path: Path) -> Iterator[HostilePreparer]:
    """The published world, whose documents are parsed apart and may be hostile from now on."""
    made = HostilePreparer(tmp_path / "asked", published.ingestion.preparer)
    isolated = within(published, made, 1.0)
    yield made
    isolated.close()


def within(world: World, hostile: HostilePreparer, seconds: float) -> IsolatedPreparer:
    isolated = IsolatedPreparer(hostile, seconds, MEMORY)
    world.ingestion = replace(world.ingestion, preparer=isolated)
    return isolated


def errors(world: World) -> dict[str, str]:
    with world.reading() as session:
        return {letter.document: letter.error for letter in dead_letters.listed(session, world.tenant)}


def told(name: str) -> str:
    """A document that is told from others by its first two words."""
    return f"{name} {text_about(name)}"


def test_the_rest_of_the_batch_is_published_and_nothing_is_parsed_twice(
    published: World, hostile: HostilePreparer
) -> None:
    good = {f"good{n}": told(f"good{n}") for n in range(40)}
    bad = {"good7x": "!spin 7", "good20x": "!exit 20", "good20y": "!kill 20", "good38x": "!spin-in-c 38"}
    published.set_contract(quarantine_share=0.5)
    published.commit(good | bad)
    outcome = published.run()
    assert outcome.status == "published"
    assert (outcome.documents.live, outcome.documents.quarantined) == (50, 4)
    assert outcome.work.parsed == 44
    found = errors(published)
    assert set(found) == set(bad)
    assert "given up after 1 s of parsing" in found["good7x"]
    assert "given up after 1 s of parsing" in found["good38x"]
    assert "which ended with status 3" in found["good20x"]
    assert "which was ended by SIGKILL" in found["good20y"]
    assert all("deadletter retry" in error for error in found.values())
    assert all(published.found(f"what does the {key} file say")[0] == key for key in list(good)[::7])

    asked = hostile.asked_for()
    assert {text: asked.count(text) for text in ("!spin 7", "!spin-in-c 38")} == {
        "!spin 7": 1,
        "!spin-in-c 38": 1,
    }
    assert len([text for text in asked if not text.startswith("!")]) == 40
    assert published.run().status == "unchanged"
    assert hostile.asked_for() == asked, "a dead letter is not tried at every run"


def test_a_last_good_version_stays_and_a_retry_with_more_time_mends(
    published: World, hostile: HostilePreparer
) -> None:
    published.commit({"d1": "!nap " + text_about("glacier", version=2)})
    assert published.run().documents.stale == 1
    assert "given up after 1 s" in errors(published)["d1"]
    assert published.found("what does the glacier file say")[0] == "d1"
    with published.registry.write() as session:
        dead_letters.retry(session, published.tenant, "ann", published.clock(), ["d1"])
    more = within(published, hostile, 30)
    outcome = published.run()
    more.close()
    assert (outcome.status, outcome.documents.stale, errors(published)) == ("published", 0, {})
    assert "edition 2" in published.texts()["d1"][0]


def test_time_that_a_document_used_up_is_not_spent_again_after_a_crash(
    published: World, hostile: HostilePreparer, monkeypatch: pytest.MonkeyPatch
) -> None:
    published.commit({"a": "!spin 1", "b": told("b"), "c": told("c")})
    prepare = published.ingestion.preparer.prepare

    def killed(content: bytes, *more: Any) -> Any:
        if content.startswith(b"c "):
            raise KeyboardInterrupt
        return prepare(content, *more)

    monkeypatch.setattr(published.ingestion.preparer, "prepare", killed)
    with pytest.raises(KeyboardInterrupt):
        published.run()
    monkeypatch.undo()
    assert published.run().status == "published"
    asked = hostile.asked_for()
    assert asked.count("!spin 1") == 1
    assert sorted(asked)[1:] == ["b The", "b The", "c The"], "the cut-off batch, from after the spinning one"


def test_a_run_that_may_not_go_on_stops_after_the_document_in_hand(
    published: World, hostile: HostilePreparer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from registry import tenants

    published.commit({f"s{n}": f"!spin {n}" for n in range(5)})
    prepare = published.ingestion.preparer.prepare

    def suspending(*arguments: Any) -> Any:
        with published.registry.write() as session:
            tenants.suspend(session, tenants.find(session, published.tenant), True)
        return prepare(*arguments)

    monkeypatch.setattr(published.ingestion.preparer, "prepare", suspending)
    with pytest.raises(TenantSuspended):
        published.run()
    assert len(hostile.asked_for()) == 1
