"""Mirrors of remote repositories: whatever a killed git or a lost disk left, no commit is lost, doubled or made up."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pipelines.errors import SourceUnavailable
from pipelines.sources.git.mirror import Mirror
from pipelines.sources.kinds import open_source
from pipelines.sources.source import Source
from tests.support.captured import Captured, snapshot, utc_now
from tests.support.children import Child
from tests.support.git_repository import GitRepository

LOCKS = (
    "HEAD.lock",
    "config.lock",
    "index.lock",
    "packed-refs.lock",
    "shallow.lock",
    "refs/heads/main.lock",
    "objects/info/commit-graph.lock",
    "objects/pack/multi-pack-index.lock",
)


class Remote:
    """A repository that is fetched from a bundle, as a remote URL would be, and the mirror of it."""

    def __init__(self, folder: Path) -> None:
        self.repository = GitRepository(folder / "documents.git")
        self.bundle = folder / "remote.bundle"
        self.cache = folder / "cache"
        self.line: list[str] = []
        draw = random.Random(1)
        self.texts: dict[bytes, bytes] = {
            f"d{n}.md".encode(): draw.randbytes(600).hex().encode() for n in range(6)
        }
        self.push({})

    def push(self, files: dict[bytes, bytes]) -> str:
        self.texts |= files
        self.line.append(self.repository.commit(dict(self.texts), tuple(self.line[-1:])))
        self.publish()
        return self.line[-1]

    def publish(self, *without: str) -> None:
        self.repository.git("bundle", "create", "--quiet", str(self.bundle), "main", *without)

    def source(self, **options: str) -> Source:
        return open_source("git", str(self.bundle), options, utc_now, self.cache)

    @property
    def mirror(self) -> Path:
        (found,) = self.cache.glob("*.git")
        return found

    def assert_followed(self, captured: Captured) -> None:
        """Every commit once and in order, and the documents of the newest."""
        assert [commit.position for commit in captured.commits] == self.line
        assert [commit.snapshot for commit in captured.commits] == [True] + [False] * (len(self.line) - 1)
        assert captured.texts() == {path.decode(): text.decode() for path, text in self.texts.items()}
        assert captured.flaws() == {}


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(tmp_path)


@pytest.fixture
def followed(remote: Remote) -> Captured:
    """Captured up to the second commit, so that the mirror has two packs."""
    captured = snapshot(remote.source())
    remote.push({b"d0.md": b"edited once"})
    assert captured.catch_up(remote.source()) == 1
    return captured


def packs(remote: Remote) -> list[Path]:
    found = (remote.mirror / "objects" / "pack").glob("*.pack")
    return sorted(found, key=lambda pack: pack.stat().st_mtime_ns)


@pytest.mark.parametrize("name", LOCKS)
def test_a_stale_lock_keeps_no_fetch_away(remote: Remote, followed: Captured, name: str) -> None:
    lock, kept = remote.mirror / name, packs(remote)
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    remote.push({b"d1.md": b"edited while the lock lay there"})
    followed.catch_up(remote.source(branch="main"))
    remote.assert_followed(followed)
    assert not lock.exists()
    assert set(kept) <= set(packs(remote)), "it was not necessary to fetch everything again"


def test_what_a_killed_fetch_left_is_removed(remote: Remote, followed: Captured) -> None:
    left = [
        remote.mirror / "objects" / "pack" / name for name in ("tmp_pack_Ab12", "tmp_idx_x", "pack-1.keep")
    ]
    for path in left:
        path.write_bytes(b"PACK")
    branch = remote.mirror / "refs" / "heads" / "objects" / "tmp_is_a_fine_name"
    branch.parent.mkdir()
    branch.write_text(f"{remote.line[0]}\n")
    remote.push({b"d1.md": b"x"})
    followed.catch_up(remote.source())
    remote.assert_followed(followed)
    assert [path for path in left if path.exists()] == []
    assert branch.exists()


def _cut(path: Path) -> None:
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def _emptied(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(b"")


def _zeroed(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(bytes(path.stat().st_size))


def _flipped(path: Path) -> None:
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    for at in range(len(content) // 3, len(content) * 2 // 3):
        content[at] ^= 0xFF
    path.write_bytes(content)


def _index_of(path: Path) -> Path:
    return path.with_suffix(".idx")


def _torn_down_half(mirror: Path) -> None:
    """As a removal that was killed on its way."""
    (mirror / "HEAD").unlink()
    shutil.rmtree(mirror / "objects" / "pack")


DAMAGES: dict[str, Callable[[Path, list[Path]], object]] = {
    "no HEAD": lambda mirror, _: (mirror / "HEAD").unlink(),
    "empty HEAD": lambda mirror, _: _emptied(mirror / "HEAD"),
    "empty config": lambda mirror, _: _emptied(mirror / "config"),
    "no config": lambda mirror, _: (mirror / "config").unlink(),
    "no objects": lambda mirror, _: shutil.rmtree(mirror / "objects"),
    "no refs": lambda mirror, _: shutil.rmtree(mirror / "refs"),
    "empty ref": lambda mirror, _: _emptied(mirror / "refs" / "heads" / "main"),
    "zeroed ref": lambda mirror, _: _zeroed(mirror / "refs" / "heads" / "main"),
    "garbage in packed-refs": lambda mirror, _: (mirror / "packed-refs").write_bytes(b"\0" * 80),
    "garbage in shallow": lambda mirror, _: (mirror / "shallow").write_bytes(b"\0" * 41),
    "only begun": lambda mirror, _: [shutil.rmtree(mirror / name) for name in ("objects", "refs", "info")],
    "torn down half": lambda mirror, _: _torn_down_half(mirror),
    "first pack cut": lambda _, packs: _cut(packs[0]),
    "second pack cut": lambda _, packs: _cut(packs[1]),
    "both packs cut": lambda _, packs: [_cut(pack) for pack in packs],
    "first pack gone": lambda _, packs: packs[0].unlink(),
    "second pack gone": lambda _, packs: packs[1].unlink(),
    "packs zeroed": lambda _, packs: [_zeroed(pack) for pack in packs],
    "packs flipped": lambda _, packs: [_flipped(pack) for pack in packs],
    "indices cut": lambda _, packs: [_cut(_index_of(pack)) for pack in packs],
    "indices gone": lambda _, packs: [_index_of(pack).unlink() for pack in packs],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_mirror_is_made_anew(remote: Remote, followed: Captured, damage: str) -> None:
    DAMAGES[damage](remote.mirror, packs(remote))
    remote.push({b"d1.md": b"the first commit that the damaged mirror lacks"})
    remote.push({b"d2.md": b"the second one", b"d1.md": b"edited again"})
    looks_until_read(remote, followed)
    remote.assert_followed(followed)
    remote.push({b"d3.md": b"and it goes on"})
    assert followed.catch_up(remote.source()) == 1
    remote.assert_followed(followed)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75, 0.9])
def test_damage_that_no_fetch_has_a_reason_to_see_is_found_by_the_read(
    remote: Remote, followed: Captured, share: float
) -> None:
    remote.push({b"d1.md": b"fetched, and then damaged"})
    remote.push({b"d2.md": b"this too"})
    remote.source().probe()
    newest = packs(remote)[-1]
    content = newest.read_bytes()
    kept = int(len(content) * share)
    newest.chmod(0o644)
    newest.write_bytes(content[:kept] + bytes(len(content) - kept - 20) + content[-20:])
    looks_until_read(remote, followed)
    remote.assert_followed(followed)
    assert not (remote.mirror / "holdfast-suspect").exists()


def test_a_mirror_that_lost_what_was_read_last_does_not_say_that_history_was_rewritten(
    remote: Remote, followed: Captured
) -> None:
    """The fetch has nothing to bring: the branch is where the remote's is, whole, and what is before it is gone."""
    old = packs(remote)
    remote.push({b"d1.md": b"the next commit"})
    remote.push({path: b"all is new in " + path for path in remote.texts})
    remote.publish(f"^{remote.line[1]}")
    remote.source().probe()
    remote.publish()
    assert len(packs(remote)) == 3
    for pack in old:
        for path in pack.parent.glob(f"{pack.stem}.*"):
            path.unlink()
    looks_until_read(remote, followed)
    remote.assert_followed(followed)


def looks_until_read(remote: Remote, captured: Captured) -> None:
    """Damage that a fetch cannot see fails one read at most; the next look is made on another mirror."""
    try:
        captured.catch_up(remote.source())
    except SourceUnavailable:
        captured.catch_up(remote.source())


@pytest.mark.parametrize("damage", ["no HEAD", "both packs cut", "packs flipped"])
def test_a_damaged_mirror_of_a_remote_that_is_away_waits_for_it(
    remote: Remote, followed: Captured, damage: str
) -> None:
    remote.push({b"d1.md": b"x"})
    DAMAGES[damage](remote.mirror, packs(remote))
    remote.bundle.unlink()
    for _ in range(2):
        with pytest.raises(SourceUnavailable):
            followed.catch_up(remote.source())
    remote.publish()
    looks_until_read(remote, followed)
    remote.assert_followed(followed)


def test_a_whole_mirror_survives_its_remote_s_outage(remote: Remote, followed: Captured) -> None:
    kept = packs(remote)
    remote.bundle.unlink()
    with pytest.raises(SourceUnavailable):
        followed.catch_up(remote.source(branch="main"))
    remote.bundle.write_bytes(b"# v2 git bundle\nnot one")
    with pytest.raises(SourceUnavailable):
        followed.catch_up(remote.source(branch="main"))
    remote.publish()
    with pytest.raises(SourceUnavailable):
        followed.catch_up(remote.source(branch="no-such"))
    assert packs(remote) == kept
    remote.push({b"d1.md": b"x"})
    followed.catch_up(remote.source())
    remote.assert_followed(followed)
    assert set(kept) <= set(packs(remote))


def test_a_suspicion_that_is_wrong_costs_no_clone(remote: Remote, followed: Captured) -> None:
    mirror, kept = Mirror(remote.mirror, ""), packs(remote)
    mirror.suspect()
    remote.push({b"d1.md": b"x"})
    followed.catch_up(remote.source())
    remote.assert_followed(followed)
    assert set(kept) <= set(packs(remote))
    assert not (remote.mirror / "holdfast-suspect").exists()


def test_a_mirror_that_was_removed_is_no_rewritten_history(remote: Remote, followed: Captured) -> None:
    shutil.rmtree(remote.mirror)
    remote.push({b"d1.md": b"x"})
    followed.catch_up(remote.source())
    remote.assert_followed(followed)


def test_a_rewritten_history_is_one_with_a_damaged_mirror_too(remote: Remote, followed: Captured) -> None:
    for pack in packs(remote):
        _cut(pack)
    remote.texts = {b"other.md": b"all is new"}
    remote.line.clear()
    tip = remote.push({})
    looks_until_read(remote, followed)
    assert (followed.commits[-1].position, followed.commits[-1].snapshot) == (tip, True)
    assert followed.texts() == {"other.md": "all is new"}


def hang_in_a_fetch(bundle: Path, cache: Path) -> None:
    """A capture whose git hangs while it fetches, as over a dead connection."""
    shim = cache.parent / "shim"
    shim.mkdir()
    script = shim / "git"
    script.write_text(
        '#!/bin/sh\nfor word in "$@"; do [ "$word" = fetch ] && exec sleep 600; done\n'
        f'exec {shutil.which("git")} "$@"\n'
    )
    script.chmod(0o755)
    os.environ["PATH"] = f"{shim}{os.pathsep}{os.environ['PATH']}"
    snapshot(open_source("git", str(bundle), {}, utc_now, cache))


def test_a_git_that_outlives_its_killed_parent_is_waited_for(remote: Remote, followed: Captured) -> None:
    child = Child(hang_in_a_fetch, remote.bundle, remote.cache)
    orphan = until_it_fetches(child.pid)
    try:
        child.kill()
        assert child.wait() == -signal.SIGKILL
        assert psutil.pid_exists(orphan.pid)
        mirror = Mirror(remote.mirror, str(remote.bundle))
        assert mirror._try_to_lock() is None
    finally:
        orphan.kill()
    psutil.wait_procs([orphan], timeout=10)
    remote.push({b"d1.md": b"x"})
    followed.catch_up(remote.source())
    remote.assert_followed(followed)


def until_it_fetches(pid: int) -> psutil.Process:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for child in psutil.Process(pid).children():
            if child.name() == "sleep":
                return child
        time.sleep(0.01)
    raise AssertionError("it never fetched")


def test_a_removal_waits_for_the_fetch_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An erasure elsewhere must not take the mirror from under a source that is just being added."""
    mirror, waited = Mirror(tmp_path / "mirror.git", ""), []
    lock = mirror._try_to_lock()
    assert lock is not None

    def let_go(seconds: float) -> None:
        waited.append(seconds)
        assert mirror.directory.is_dir()
        if len(waited) == 3:
            os.close(lock)

    monkeypatch.setattr("pipelines.sources.git.mirror.time.sleep", let_go)
    mirror.remove()
    assert (len(waited), mirror.directory.exists()) == (3, False)


def test_a_removal_does_not_wait_for_ever(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path / "mirror.git", "")
    lock = mirror._try_to_lock()
    assert lock is not None
    mirror.remove(patience=0)
    os.close(lock)
    assert not mirror.directory.exists()
    mirror.remove()
    assert not mirror.directory.exists()
