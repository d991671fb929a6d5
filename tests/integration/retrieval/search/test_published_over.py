"""A search whose generation goes between its look at the registry and the opening of the index."""

from __future__ import annotations

from typing import Any

import pytest

from retrieval.errors import GenerationNotServed
from retrieval.search.snapshot import take
from tests.support.world import TOPICS, World, empty_world, migrated_home, published, text_about, world

__all__ = ["empty_world", "migrated_home", "published", "world"]


@pytest.fixture(autouse=True)
def _published_over(published: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first snapshot two more generations are published, and the first is removed."""
    published.set_contract(retained_generations=1)
    due = [2, 3]

    def taken(*given: Any) -> Any:
        found, versions = take(*given), due[:]
        due.clear()
        for version in versions:
            published.commit({"d0": text_about(TOPICS[0], version=version)})
            assert published.run().status == "published"
        return found

    monkeypatch.setattr("retrieval.search.searcher.take", taken)


def test_what_is_live_by_then_answers(published: World) -> None:
    assert published.search(TOPICS[0]).generation == 3
    assert published.index_entries() == ["2", "3"]


def test_an_older_one_that_was_asked_for_is_said_to_be_served_no_longer(published: World) -> None:
    with pytest.raises(GenerationNotServed, match="served are 3, 2"):
        published.search(TOPICS[0], as_of=1)
