"""A disk that fills, a registry and a source that go away: the run says so, harms nothing, and then converges."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from cli.failures import describe
from pipelines.backup.taking import take_backup
from retrieval.errors import DiskFull
from retrieval.index.edge import room
from tests.acceptance.crash import scenarios
from tests.acceptance.crash.homes import LATER, opened
from tests.support.children import call

MEGABYTES = 96


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 96 MB with a home in it, in which a difference is due."""
    disk, image = tmp_path / "disk", tmp_path / "image"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(MEGABYTES * 2**20)
    # Not a tmpfs: that takes room for every hole that is merely read.
    for command in (["mkfs.ext4", "-q", "-m", "0", image], ["mount", "-o", "loop", image, disk]):
        if shutil.which(str(command[0])) is None:
            pytest.skip(f"no small disk can be made here: there is no {command[0]}")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no small disk can be made here: {done.stderr.strip()}")
    try:
        for prepare in (scenarios.begun, scenarios.published, scenarios.changed):
            call(prepare, disk / "home")
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def fill(disk: Path, leave: int) -> Path:
    """Take all room but `leave` bytes."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - leave)
    return ballast


def refused(home: Path) -> tuple[str, str, list[str]]:
    """What a run says, what the command line makes of it, and what is still found."""
    with opened(home) as world:
        assert world.found("what does the granite file say")[:1] == ["d8"]
        try:
            world.run()
        except (DiskFull, OperationalError) as error:
            failure = describe(error)
            assert failure is not None
            return type(error).__name__, failure.message, world.found("what does the granite file say")[:1]
        raise AssertionError("the run did not notice")


def refused_without_looking(home: Path) -> tuple[str, str, list[str]]:
    """As `refused`, where nobody looked for room beforehand: the copy of the base meets the end of the disk."""
    room.require = lambda *_: None  # type: ignore[assignment]
    import retrieval.index.edge.stage as stage
    import retrieval.index.edge.store as store

    stage.require = store.require = lambda *_: None  # type: ignore[assignment]
    return refused(home)


def with_much_to_capture(home: Path) -> None:
    with opened(home) as world:
        scenarios.commit(world, 9, {"d11": "much " * 40_000})


def converged(home: Path) -> Any:
    scenarios.run_to_the_end(home)
    return scenarios.ending(home)


def backed_up(home: Path) -> str:
    with opened(home) as world:
        try:
            take_backup(world.registry, world.settings.index, home / "copy", world.clock)
        except DiskFull as error:
            return str(error)
        raise AssertionError("the backup did not notice")


def test_a_full_disk_of_the_index_stops_a_run_before_it_harms_anything(small: Path) -> None:
    ballast = fill(small, room.RESERVE - 2**20)
    name, said, found = call(refused, small / "home")
    assert name == "DiskFull"
    assert "free some room" in said
    assert "goes on serving" in said
    assert found == ["d8"]
    ballast.unlink()
    assert call(converged, small / "home")["moves"]["publish"] == 2


def test_a_copy_that_meets_the_end_of_the_disk_says_so(small: Path) -> None:
    ballast = fill(small, 300_000)
    name, said, found = call(refused_without_looking, small / "home")
    assert name in ("DiskFull", "OperationalError")
    assert "disk" in said
    assert "full" in said
    assert found == ["d8"]
    ballast.unlink()
    assert call(converged, small / "home")["moves"]["publish"] == 2


def test_a_full_disk_of_the_registry_is_told_and_forgotten_once_there_is_room(small: Path) -> None:
    ballast = fill(small, 400_000)
    call(with_much_to_capture, small / "home")
    name, said, found = call(refused, small / "home")
    assert name == "OperationalError"
    assert said.startswith("the disk of the registry is full")
    assert found == ["d8"]
    ballast.unlink()
    assert call(converged, small / "home")["moves"]["publish"] == 2


def test_a_backup_that_finds_no_room_leaves_nothing(small: Path) -> None:
    ballast = fill(small, 200_000)
    assert "full" in call(backed_up, small / "home")
    assert not (small / "home" / "copy").exists()
    assert not list((small / "home").glob(".copy*"))
    ballast.unlink()


# What is away for a while.


def look_in_vain(home: Path) -> tuple[str, str]:
    with opened(home) as world:
        world.script().fail("no route to host")
        outcome = world.run()
        with world.registry.read() as session:
            from pipelines.capture.health import source_health

            (health,) = source_health(session, world.tenant, world.clock())
    return outcome.status, health.summary


def look_again(home: Path) -> Any:
    with opened(home, LATER) as world:
        world.script().fail("")
    return converged(home)


def test_a_source_that_is_away_changes_nothing_until_it_is_back(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for prepare in (scenarios.begun, scenarios.published, scenarios.changed):
        call(prepare, home)
    status, health = call(look_in_vain, home)
    assert status == "unchanged"
    assert "no route to host" in health
    found = call(look_again, home)
    assert found["moves"]["publish"] == 2
    assert {key for key, _, _ in found["documents"]} == {f"d{n}" for n in range(11)} - {"d9"}
