"""An index that no longer matches its digests: seen when it is opened, rebuilt without embedding, served again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from canaries import gate
from cli import examination
from cli.main import main
from pipelines.errors import IngestBusy, IngestRefused
from pipelines.ingestion import rebuild as rebuilding
from pipelines.ingestion.rebuild import Rebuilt, rebuild
from registry import generations, leases
from registry.clock import utc_now
from registry.schema import Chunk, Generation
from registry.settings import settings
from retrieval.api import serving
from retrieval.errors import IndexCorrupt, IndexUnavailable
from retrieval.index.edge.store import EdgeGenerationStore
from retrieval.index.store import GenerationRef
from tests.support.api import api_over, error_of
from tests.support.fake_encoder import fake_identity
from tests.support.world import TOPICS, World, empty_world, migrated_home, published, text_about, world

__all__ = ["empty_world", "migrated_home", "published", "world"]


def folder(world: World, number: int) -> Path:
    return world.settings.index / world.tenant / str(number)


def flip_a_bit(place: Path) -> None:
    path = max(place.rglob("*.mmap"), key=lambda p: p.stat().st_blocks)
    with path.open("r+b") as file:
        file.seek(64)
        byte = file.read(1)
        file.seek(64)
        file.write(bytes([byte[0] ^ 0x04]))


def truncate(place: Path) -> None:
    path = place / "postings.npy"
    os.truncate(path, path.stat().st_size - 4)


def lose_the_manifest(place: Path) -> None:
    (place / "manifest.json").unlink()


def lose_a_segment(place: Path) -> None:
    shutil.rmtree(next((place / "shard" / "segments").iterdir()))


DAMAGES: list[Callable[[Path], Any]] = [
    flip_a_bit,
    truncate,
    lose_the_manifest,
    lose_a_segment,
    shutil.rmtree,
]


def reopened(world: World) -> None:
    """What a process that starts now would see."""
    world.store.close()
    fresh = EdgeGenerationStore(world.settings.index)
    world.store._verified.clear()  # type: ignore[attr-defined]
    fresh.close()


def repair(world: World, number: int | None = None) -> list[Rebuilt]:
    return rebuild(world.registry, world.store, world.tenant, 30, world.clock, number)


def live(world: World) -> Generation:
    found = world.live()
    assert found is not None
    return found


def answers(world: World) -> list[Any]:
    return [world.search(f"what does the {topic} file say", mode="hybrid").hits for topic in TOPICS[:5]]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_index_is_seen_and_rebuilt_without_embedding(
    published: World, damage: Callable[[Path], Any]
) -> None:
    before, recorded = answers(published), live(published).digest
    reopened(published)
    damage(folder(published, 1))
    with pytest.raises((IndexCorrupt, IndexUnavailable), match="holdfast rebuild"):
        published.search("glacier")
    published.encoder.encoded.clear()

    (done,) = repair(published)
    assert (done.generation, done.status, done.digest) == (1, "rebuilt", recorded)
    assert published.encoder.encoded == []
    assert answers(published) == before
    assert published.index_entries() == ["1"]
    under_test = gate.put_under_test(
        published.registry, published.store, published.searcher, published.encoders,
        published.encoder.model, published.tenant, 1,
    )  # fmt: skip
    assert [v.name for v in gate.judge(under_test, published.clock) if not v.passed] == []


def test_whole_indices_are_left_alone(published: World) -> None:
    published.commit({"d0": text_about(TOPICS[0], version=2)})
    published.run()
    times = {path: path.stat().st_mtime_ns for path in folder(published, 1).rglob("*.mmap")}
    assert [(one.generation, one.status) for one in repair(published)] == [(2, "intact"), (1, "intact")]
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_only_what_is_served_is_rebuilt(published: World) -> None:
    with pytest.raises(IngestRefused, match="neither live nor retained: served are 1"):
        repair(published, 7)
    assert [one.generation for one in repair(published, 1)] == [1]


def test_a_running_ingest_is_not_disturbed(published: World) -> None:
    reopened(published)
    flip_a_bit(folder(published, 1))
    with published.registry.write() as session:
        holder = leases.Holder("run", "elsewhere", 1, 0.0)
        leases.acquire(session, leases.ingest_lease(published.tenant), holder, 60, published.clock())
    with pytest.raises(IngestBusy, match="is being ingested"):
        repair(published)


def test_what_is_stored_must_still_make_the_recorded_digest(published: World) -> None:
    """Nothing that was never published is put in the place of what was."""
    with published.registry.write() as session:
        chunk = session.query(Chunk).first()
        assert chunk is not None
        chunk.text = "something else entirely"
    reopened(published)
    flip_a_bit(folder(published, 1))
    damaged = (folder(published, 1) / "manifest.json").read_bytes()
    with pytest.raises(IndexCorrupt, match="was built again as"):
        repair(published)
    assert (folder(published, 1) / "manifest.json").read_bytes() == damaged
    assert published.index_entries() == ["1"]


def test_a_generation_retired_meanwhile_is_not_rebuilt(
    published: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    reopened(published)
    flip_a_bit(folder(published, 1))
    fill = rebuilding.fill

    def retiring(*arguments: Any) -> Any:
        with published.registry.write() as session:
            generations.get(session, published.tenant, 1).status = "retired"
        return fill(*arguments)

    monkeypatch.setattr(rebuilding, "fill", retiring)
    with pytest.raises(IngestRefused, match="became retired"):
        repair(published)


def test_the_api_recovers_without_a_restart(published: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "RETRY", 0.0)
    reopened(published)
    flip_a_bit(folder(published, 1))
    with api_over(published) as api:
        error_of(api.post({"query": "glacier"}), 503, "index_corrupt")
        other = EdgeGenerationStore(published.settings.index)  # another process's
        rebuild(published.registry, other, published.tenant, 30, published.clock)
        other.close()
        assert api.found("what does the glacier file say")[:1] == ["d1"]


def test_a_process_that_had_it_open_turns_to_what_was_rebuilt(published: World) -> None:
    before = answers(published)
    with published.store.open(GenerationRef(published.tenant, 1)) as held:
        flip_a_bit(folder(published, 1))
        other = EdgeGenerationStore(published.settings.index)
        (done,) = rebuild(published.registry, other, published.tenant, 30, published.clock)
        other.close()
        assert done.status == "rebuilt"
        assert answers(published) == before
        assert held.count() == len(list(held.points()))
    published.store.discard_stages(published.tenant)
    assert published.index_entries() == ["1"]


def publish_over(world: World) -> None:
    """Generation 1 is no longer served, and its index goes."""
    world.set_contract(retained_generations=1)
    for version in (2, 3):
        world.commit({"d0": text_about(TOPICS[0], version=version)})
        assert world.run().status == "published"
    assert not folder(world, 1).exists()


def test_what_was_retired_before_the_lease_was_had_needs_no_rebuild(
    published: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rebuilding.fault

    def seen(store: Any, generation: Generation) -> str:
        if generation.number == 1:
            publish_over(published)
        return found(store, generation)

    monkeypatch.setattr(rebuilding, "fault", seen)
    done = rebuild(published.registry, published.store, published.tenant, 30, published.clock)
    assert [(one.generation, one.status) for one in done] == [(3, "intact"), (2, "intact")]


def test_doctor_does_not_take_for_damaged_what_was_published_over(
    published: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination, "identify", lambda _: fake_identity())
    overview = examination.overview

    def seen(*given: Any) -> Any:
        found = overview(*given)
        publish_over(published)
        return found

    monkeypatch.setattr(examination, "overview", seen)
    found = examination.examine(published.registry, published.settings, utc_now())
    (live,) = [finding for finding in found if finding.check == "live"]
    assert (live.colour, "published over" in live.summary) == ("yellow", True)
    assert "retained" not in {finding.check for finding in found}


def test_doctor_tells_of_live_and_of_retained_ones(published: World, monkeypatch: pytest.MonkeyPatch) -> None:
    published.commit({"d0": text_about(TOPICS[0], version=2)})
    published.run()
    monkeypatch.setattr(examination, "identify", lambda _: fake_identity())
    for number in (1, 2):
        truncate(folder(published, number))
    found = examination.examine(published.registry, published.settings, utc_now())
    red = {finding.check: finding.summary for finding in found if finding.colour == "red"}
    assert "generation 2" in red["live"]
    assert "holdfast rebuild" in red["live"]
    assert "generation 1" in red["retained"]


def test_the_command(
    published: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOLDFAST_HOME", str(published.settings.state))
    settings.cache_clear()
    flip_a_bit(folder(published, 1))
    with pytest.raises(SystemExit) as ended:
        main(["rebuild", "--tenant", "acme", "--json"])
    assert ended.value.code == 0
    document = json.loads(capsys.readouterr().out)
    assert document["tenant"] == "acme"
    assert [(one["generation"], one["status"]) for one in document["generations"]] == [(1, "rebuilt")]
    with pytest.raises(SystemExit) as refused:
        main(["rebuild", "--tenant", "acme", "--generation", "9", "--json"])
    assert refused.value.code == 1
    settings.cache_clear()
