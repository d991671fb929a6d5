"""A build by difference equals a fresh build of the same pins: after fifty random changes, point by point."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.world import TOPICS, World, empty_world, generation_ref, migrated_home, text_about, world

__all__ = ["empty_world", "migrated_home", "world"]

CHANGES = 50
RUNS = 10


@pytest.fixture
def another(migrated_home: Path, tmp_path: Path) -> Iterator[World]:
    """A second home, which never saw anything before the end."""
    shutil.copytree(migrated_home, tmp_path / "another")
    opened = World(tmp_path / "another")
    opened.add_tenant()
    opened.add_source()
    yield opened
    opened.close()


class Edits:
    """Random changes to a set of documents: edits, additions, deletions, renames; lengths drift upwards."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.documents = {f"d{n}": text_about(topic) for n, topic in enumerate(TOPICS)}
        self.made = len(self.documents)

    def next(self, number: int) -> tuple[dict[str, str], list[str]]:
        kind = self.draw.choice(["edit", "edit", "edit", "add", "delete", "rename"])
        key = self.draw.choice(sorted(self.documents))
        if kind == "edit":
            upserts = {key: self._text(number)}
        elif kind == "add":
            upserts = {self._key(): self._text(number)}
        elif kind == "rename":
            upserts = {self._key(): self.documents[key]}
        else:
            upserts = {}
        deletes = [key] if kind in ("delete", "rename") else []
        self.documents.update(upserts)
        for gone in deletes:
            del self.documents[gone]
        return upserts, deletes

    def _key(self) -> str:
        self.made += 1
        return f"d{self.made}"

    def _text(self, number: int) -> str:
        # Later texts say each sentence twice over: the average length crosses steps of its grid.
        text = text_about(self.draw.choice(TOPICS), sentences=3 + number // 6, version=number)
        return (
            text.replace(" matters.", " matters a great deal to everybody concerned here.")
            if number > 20
            else text
        )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_fifty_changes_by_difference_are_one_fresh_build(world: World, another: World, seed: int) -> None:
    edits = Edits(seed)
    world.set_contract(mass_deletion_share=1.0, chunk_drop=1.0)
    world.commit(edits.documents)
    assert world.run().status == "published"
    steps = {live_step(world)}
    for number in range(CHANGES):
        upserts, deletes = edits.next(number)
        world.commit(upserts, deletes)
        if number % (CHANGES // RUNS) == CHANGES // RUNS - 1:
            outcome = world.run()
            assert outcome.status == "published", [v.summary for v in outcome.checks if v.holds_back]
            steps.add(live_step(world))
    another.commit(edits.documents)
    assert another.run().status == "published"

    assert len(steps) > 1, "the changes never crossed a step of the average length"
    assert live_step(world) == live_step(another)
    assert points(world) == points(another)
    for topic in TOPICS:
        for mode in ("hybrid", "dense", "lexical"):
            query = f"the {topic} edition matters"
            assert ranking(world, query, mode) == ranking(another, query, mode)


def live_step(world: World) -> int:
    live = world.live()
    assert live is not None
    return live.average_length_step


def points(world: World) -> dict[str, object]:
    """Every point, bit for bit; positions aside, which name commits that each home has of its own."""
    live = world.live()
    assert live is not None
    with world.store.open(generation_ref(live)) as reader:
        return {
            p.chunk_id: (
                {name: value for name, value in p.payload.items() if name != "position"},
                p.vector.tobytes(),
                p.weights.indices.tobytes(),
                p.weights.values.tobytes(),
            )
            for p in reader.points()
        }


def ranking(world: World, query: str, mode: str) -> list[tuple[str, float]]:
    return [(hit.chunk_id, hit.score) for hit in world.search(query, k=30, mode=mode).hits]
