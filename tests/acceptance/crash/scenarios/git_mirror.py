"""A git repository that is read through a mirror: whole, locked by the dead, or damaged."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipelines.sources.kinds import open_source
from tests.acceptance.crash import homes
from tests.acceptance.crash.homes import LATER, NOW, opened
from tests.acceptance.crash.scenarios.build import run_to_the_end
from tests.acceptance.crash.scenarios.pages import run_real, tree
from tests.acceptance.crash.scenarios.scenario import upon
from tests.support.git_repository import GitRepository
from tests.support.real_sources import add_source


def mirrored(home: Path) -> None:
    """A repository that is read through a mirror, twice: from a bundle, as from a remote URL."""
    repository = GitRepository(handbook(home, ".git"))
    first = repository.commit(tree(range(8)))
    repository.git("bundle", "create", "--quiet", str(handbook(home)), "main")
    homes.migrated(home)
    with opened(home) as world:
        world.add_tenant()
        add_source(world, "git", handbook(home))
    run_real(home)
    second = repository.commit(tree(range(7), {0}), (first,))
    repository.commit(tree([*range(7), 8], {0, 1}), (second,))
    repository.git("bundle", "create", "--quiet", str(handbook(home)), "main")


def handbook(home: Path, suffix: str = ".bundle") -> Path:
    place = home / "sources" / f"handbook{suffix}"
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


@upon(mirrored)
def stale_mirror(home: Path) -> None:
    """A git was killed in the mirror: its locks and half a pack lie there. A read failed as well, by mistake."""
    copy = mirror(home, str(handbook(home)))
    for name in ("refs/heads/main.lock", "packed-refs.lock", "objects/pack/tmp_pack_1", "holdfast-suspect"):
        (copy / name).touch()


@upon(mirrored)
def damaged_mirror(home: Path) -> None:
    """What is new was fetched already, and then damaged: no fetch has a reason to look at it, only whoever reads it."""
    place = handbook(home)
    open_source("git", str(place), {}, lambda: NOW, home / "mirrors").probe()
    for pack in (mirror(home, str(place)) / "objects" / "pack").glob("*.pack"):
        content = pack.read_bytes()
        pack.chmod(0o644)
        kept = len(content) // 2  # the commits come first
        pack.write_bytes(content[:kept] + bytes(len(content) - kept - 20) + content[-20:])


def look_and_run(home: Path) -> None:
    """The first look may find that the mirror cannot be read; the second one is made on another."""
    with opened(home) as world:
        world.capture()
        world.run()


def look_and_run_to_the_end(home: Path) -> None:
    with opened(home, LATER) as world:
        world.capture()
    run_to_the_end(home)


MIRRORED = "https://example.org/handbook.git"


def mirror(home: Path, uri: str = MIRRORED) -> Path:
    return home / "mirrors" / f"{hashlib.sha256(uri.encode()).hexdigest()[:32]}.git"
