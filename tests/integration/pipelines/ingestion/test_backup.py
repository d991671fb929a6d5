"""Backup and restore: one instant of the registry, the indices that it serves, and nothing that is half of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli import erasure
from cli.main import main
from pipelines.backup import taking
from pipelines.backup.contents import FILE_NAME, read_contents
from pipelines.backup.restoring import restore
from pipelines.backup.taking import Backup, take_backup
from pipelines.errors import BackupDamaged, BackupRefused
from registry import tenants
from registry.clock import utc_now
from registry.database import Registry
from registry.settings import Settings, settings
from retrieval.errors import IndexCorrupt, IndexUnavailable
from retrieval.index.store import GenerationRef
from tests.support.world import TOPICS, World, empty_world, migrated_home, published, text_about, world

__all__ = ["empty_world", "migrated_home", "published", "world"]


@pytest.fixture
def twice(published: World) -> World:
    """Two generations, the older one retained."""
    published.commit({"d0": text_about(TOPICS[0], version=2)}, deletes=["d9"])
    assert published.run().status == "published"
    return published


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "backups" / "one"


def take(world: World, place: Path) -> Backup:
    return take_backup(world.registry, world.settings.index, place, world.clock)


def answers(world: World, **more: Any) -> list[Any]:
    return [world.search(f"what does the {topic} file say", **more).hits for topic in TOPICS[:5]]


def restored(world: World, place: Path, home: Path) -> World:
    restore(place, Settings(home=home))
    other = World(home, encoder=world.encoder, clock=world.clock)
    other.tenant = world.tenant
    return other


def test_a_restored_home_gives_the_same_answers(twice: World, place: Path, tmp_path: Path) -> None:
    made = take(twice, place)
    assert (made.registry, made.generations) == ("copied", 2)
    before, older = answers(twice), answers(twice, as_of=1)
    twice.commit({"d1": text_about(TOPICS[1], version=9)})
    twice.run()  # what comes after the backup is not in it
    other = restored(twice, place, tmp_path / "restored")
    try:
        assert answers(other) == before
        assert answers(other, as_of=1) == older
        assert other.index_entries() == ["1", "2"]
        assert other.run().status == "published"  # the source goes on where the backup stood
        assert other.live().digest == twice.live().digest  # type: ignore[union-attr]
    finally:
        other.close()


def test_writers_do_not_wait_and_the_copy_is_of_one_instant(
    twice: World, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = taking._copy_index

    def publishing(*arguments: Any) -> None:
        monkeypatch.undo()
        twice.commit({"d1": text_about(TOPICS[1], version=9)})
        assert twice.run().status == "published"
        copy(*arguments)

    monkeypatch.setattr(taking, "_copy_index", publishing)
    take(twice, place)
    assert [generation.generation for generation in read_contents(place).generations] == [1, 2]


def test_generations_removed_meanwhile_make_it_begin_again(
    twice: World, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice.set_contract(retained_generations=1)
    copy = taking._copy_index

    def retiring(*arguments: Any) -> None:
        monkeypatch.undo()
        twice.commit({"d1": text_about(TOPICS[1], version=9)})
        assert twice.run().status == "published"
        assert twice.index_entries() == ["2", "3"]
        copy(*arguments)

    monkeypatch.setattr(taking, "_copy_index", retiring)
    take(twice, place)
    found = read_contents(place)
    assert [(g.generation, g.status) for g in found.generations] == [(2, "retained"), (3, "live")]


def test_what_never_stands_still_is_given_up(
    twice: World, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any) -> None:
        raise IndexUnavailable("gone")

    monkeypatch.setattr(taking, "_copy_index", gone)
    with pytest.raises(IndexUnavailable):
        take(twice, place)
    assert list(place.parent.iterdir()) == []


def test_nothing_is_overwritten(twice: World, place: Path, tmp_path: Path) -> None:
    take(twice, place)
    with pytest.raises(BackupRefused, match="is not empty"):
        take(twice, place)
    with pytest.raises(BackupRefused, match="a restore overwrites nothing"):
        restore(place, twice.settings)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert restore(place, Settings(home=empty)).generations == 2
    with pytest.raises(BackupRefused):
        restore(place, Settings(home=empty))


def test_a_damaged_generation_is_not_backed_up(twice: World, place: Path) -> None:
    (twice.settings.index / twice.tenant / "1" / "postings.npy").unlink()
    with pytest.raises(IndexCorrupt, match="holdfast rebuild"):
        take(twice, place)
    assert list(place.parent.iterdir()) == []


def spoil_a_file(place: Path) -> None:
    path = next(place.rglob("postings.npy"))
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")


def spoil_the_registry(place: Path) -> None:
    path = place / "registry.sqlite3"
    body = bytearray(path.read_bytes())
    body[5000] ^= 1
    path.write_bytes(body)


def lose_a_generation(place: Path) -> None:
    shutil.rmtree(next(path.parent for path in place.rglob("manifest.json")))


def change_the_list(place: Path) -> None:
    path = place / FILE_NAME
    path.write_text(path.read_text().replace('"live"', '"dead"'))


def lose_the_list(place: Path) -> None:
    (place / FILE_NAME).unlink()


def add_a_file(place: Path) -> None:
    (place / "index" / "stray").write_text("x")


SPOILS: list[Callable[[Path], None]] = [
    spoil_a_file,
    spoil_the_registry,
    lose_a_generation,
    change_the_list,
    lose_the_list,
    add_a_file,
]


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda spoil: spoil.__name__)
def test_a_spoilt_backup_restores_nothing(
    twice: World, place: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    take(twice, place)
    spoil(place)
    home = tmp_path / "spoilt"
    with pytest.raises(BackupDamaged):
        restore(place, Settings(home=home))
    assert not home.exists()
    assert not list(tmp_path.glob(".spoilt*"))


def test_digests_of_generations_are_those_that_were_recorded(
    twice: World, place: Path, tmp_path: Path
) -> None:
    take(twice, place)
    found = read_contents(place)
    wrong = [replace(generation, digest="0" * 64) for generation in found.generations]
    replace(found, generations=wrong).write(place)
    with pytest.raises(BackupDamaged, match="is not the one that the backup names"):
        restore(place, Settings(home=tmp_path / "other"))


def test_erased_tenants_are_in_no_later_backup(twice: World, place: Path) -> None:
    from registry import tenants

    with twice.registry.write() as session:
        tenants.erase(session, tenants.find(session, twice.tenant))
    assert take(twice, place).generations == 0
    assert b"granite" not in (place / "registry.sqlite3").read_bytes()


def test_a_registry_on_a_server_is_named_as_missing(postgres_url: str, tmp_path: Path, place: Path) -> None:
    registry = Registry(postgres_url)
    (tmp_path / "index").mkdir()
    made = take_backup(registry, tmp_path / "index", place, utc_now)
    registry.close()
    assert (made.registry, made.generations) == ("elsewhere", 0)
    assert not (place / "registry.sqlite3").exists()
    with pytest.raises(BackupRefused, match="HOLDFAST_REGISTRY_URL"):
        restore(place, Settings(home=tmp_path / "new"))
    done = restore(place, Settings(home=tmp_path / "new", registry_url=postgres_url))
    assert done.registry == "elsewhere"


def test_a_backup_with_a_registry_is_not_restored_beside_another(
    twice: World, place: Path, tmp_path: Path
) -> None:
    take(twice, place)
    with pytest.raises(BackupRefused, match="unset HOLDFAST_REGISTRY_URL"):
        restore(place, Settings(home=tmp_path / "new", registry_url="postgresql+psycopg://h/d"))


def test_the_commands(
    twice: World,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(home: Path, *arguments: str) -> tuple[int, Any]:
        monkeypatch.setenv("HOLDFAST_HOME", str(home))
        settings.cache_clear()
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--json"])
        return int(str(ended.value.code)), json.loads(capsys.readouterr().out)

    status, document = run(twice.settings.state, "backup", str(place))
    assert (status, document["generations"], document["registry"]) == (0, 2, "copied")
    status, document = run(twice.settings.state, "backup", str(place))
    assert (status, document["error"]["code"]) == (1, "backup_refused")
    status, document = run(tmp_path / "new", "restore", str(place))
    assert (status, document["generations"]) == (0, 2)
    status, document = run(tmp_path / "new", "restore", str(tmp_path))
    assert (status, document["error"]["code"]) == (1, "backup_damaged")
    with World(tmp_path / "new").store.open(GenerationRef(twice.tenant, 2)) as reader:
        assert reader.digest == twice.live().digest  # type: ignore[union-attr]
    settings.cache_clear()


@pytest.mark.parametrize("step", ["copy_tree", "crash_point"])
def test_a_tenant_that_is_erased_while_it_is_copied_is_not_in_the_backup(
    twice: World, place: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """An erasure waits for no reader."""
    monkeypatch.setattr(erasure, "synchronise_partitions", lambda *_: None)
    real, due = getattr(taking, step), [twice.tenant]

    def meanwhile(*given: Any) -> Any:
        if due and given != ("backup:registry-copied",):
            with twice.reading() as session:
                found = tenants.find(session, due.pop())
            erasure.erase_tenant(twice.registry, twice.settings, found)
        return real(*given)

    monkeypatch.setattr(taking, step, meanwhile)
    made = take(twice, place)
    assert (made.generations, list(read_contents(place).generations)) == (0, [])
    assert list((place / "index").rglob("*.mmap")) == []
