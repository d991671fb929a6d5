"""A home that is backed up, and one that is made of a backup."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.backup.contents import read_contents, verify
from pipelines.backup.restoring import restore
from pipelines.backup.taking import take_backup
from registry.settings import Settings
from tests.acceptance.crash import homes
from tests.acceptance.crash.homes import opened
from tests.acceptance.crash.scenarios.build import two_generations
from tests.acceptance.crash.scenarios.scenario import upon


def take(home: Path) -> None:
    with opened(home) as world:
        target = home / "backups" / "one"
        if not target.exists():
            take_backup(world.registry, world.settings.index, target, world.clock)


def is_backed_up(home: Path) -> Any:
    place = home / "backups" / "one"
    contents = read_contents(place)
    verify(place, contents)
    assert [path.name for path in place.parent.iterdir()] == ["one"]
    restored = home / "restored"
    restore(place, Settings(home=restored))
    with opened(restored) as world:
        found = homes.state(world)
    return found | {"generations": len(contents.generations)}


@upon(two_generations)
def backed_up(home: Path) -> None:
    take(home)


def put_back(home: Path) -> None:
    target = home / "restored"
    if not target.exists():
        restore(home / "backups" / "one", Settings(home=target))


def is_put_back(home: Path) -> Any:
    assert [p.name for p in home.iterdir() if p.name.startswith(".restored")] == []
    with opened(home / "restored") as world:
        found = homes.state(world)
        assert homes.untidy(world) == []
    return found
