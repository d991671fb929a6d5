"""A bare copy of a remote repository: whatever a kill or a lost disk left of it, the next fetch makes it whole."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.errors import SourceUnavailable
from pipelines.sources.git.repository import Repository, ask
from registry.crash_points import crash_point
from retrieval.index.edge.files import remove_tree

log = logging.getLogger("holdfast.capture")

FETCH_SECONDS = 1800.0
REMOVAL_SECONDS = 10.0
BUSY_PAUSE = 0.05
IN_USE = "holdfast-in-use"
SUSPECT = "holdfast-suspect"
# What only a git that is at work may have there; no branch's name ends like a lock.
_LEFT_BY_A_KILL = ("**/*.lock", "objects/**/tmp_*", "objects/pack/*.keep")
_FETCH = (
    *("-c", "fetch.unpackLimit=1"),  # always a pack: git syncs those to disk, and can verify them
    *("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--force"),
)


class Mirror:
    """The copy in `directory` of the repository at `address`.

    Sources with the same address share it, so a lease on one source does not keep others away from it: whoever
    writes to it locks it. Every git that writes holds the lock too, so that one whose parent was killed is
    waited for; a lock file of git that is there all the same is stale.
    """

    def __init__(self, directory: Path, address: str) -> None:
        self.directory = directory
        self._address = address

    def fetch(self, branch: str) -> Repository:
        """The mirror with the branch as it is at the address now; made anew where it is not whole.

        Raises SourceUnavailable where the address does not answer or has no such branch; the mirror stays.
        """
        with self._locked() as lock:
            if self._is_usable():
                self._remove_stale()
                try:
                    self._fetch(branch, lock)
                except SourceUnavailable as error:
                    if not self._answers(branch) or self.is_whole():
                        raise
                    log.warning("the mirror %s is damaged and made anew: %s", self.directory, error)
                else:
                    return Repository(self.directory)
            self._begin(lock)
            self._fetch(branch, lock)
        return Repository(self.directory)

    def remove(self, patience: float = REMOVAL_SECONDS) -> None:
        """Remove it, after the fetch that is under way where that ends soon: it may be for a source being added."""
        try:
            with self._locked(patience):
                remove_tree(self.directory)
        except SourceUnavailable:
            remove_tree(self.directory)

    def suspect(self) -> None:
        """A read failed: the next fetch looks whether the mirror is whole before it relies on it."""
        try:
            (self.directory / SUSPECT).touch()
        except FileNotFoundError:
            return  # it was removed while it was read: its last source was erased
        crash_point("mirror:suspected")

    def is_whole(self) -> bool:
        """Whether every object that a branch needs is there, and every pack is what it was. Reads all of it."""
        repository = Repository(self.directory)
        packs = sorted(str(path) for path in (self.directory / "objects" / "pack").glob("pack-*.pack"))
        try:
            bare = repository.ask("config", "--file", str(self.directory / "config"), "--get", "core.bare")
            # Not the full check: it takes offence at what is in many an old history, and whole.
            repository.ask("fsck", "--connectivity-only", "--no-dangling", "--no-progress")
            if packs:
                repository.ask("verify-pack", "--", *packs)
        except SourceUnavailable as error:
            log.info("the mirror %s is not whole: %s", self.directory, error)
            return False
        return bare.strip() == b"true"

    def _is_usable(self) -> bool:
        """Not so where there is none yet, where it is being thrown away, or where a suspicion was right."""
        if not (self.directory / "HEAD").exists():
            return False
        suspicion = self.directory / SUSPECT
        if suspicion.exists():
            self._remove_stale()
            if not self.is_whole():
                log.warning("the mirror %s is damaged and made anew", self.directory)
                return False
            suspicion.unlink()
            crash_point("mirror:trusted")
        return True

    def _remove_stale(self) -> None:
        for pattern in _LEFT_BY_A_KILL:
            for path in list(self.directory.glob(pattern)):
                log.warning("removing what a killed git left in the mirror: %s", path)
                path.unlink()
                crash_point("mirror:stale-removed")

    def _begin(self, lock: int) -> None:
        # HEAD goes first: a mirror that is thrown away only in part must not pass for one.
        (self.directory / "HEAD").unlink(missing_ok=True)
        crash_point("mirror:condemned")
        for path in self.directory.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != IN_USE:
                path.unlink()
        crash_point("mirror:emptied")
        ask("init", "--quiet", "--bare", str(self.directory), holding=(lock,))
        crash_point("mirror:begun")

    def _fetch(self, branch: str, lock: int) -> None:
        reference = f"refs/heads/{branch}"
        options = (f"--git-dir={self.directory}", *_FETCH, "--", self._address, f"+{reference}:{reference}")
        ask(*options, timeout=FETCH_SECONDS, holding=(lock,))
        crash_point("mirror:fetched")
        # A fetch that has nothing to bring looks at no object.
        Repository(self.directory).ask("rev-parse", "--quiet", "--verify", f"{reference}^{{tree}}")

    def _answers(self, branch: str) -> bool:
        try:
            ask(
                "ls-remote", "--exit-code", "--", self._address, f"refs/heads/{branch}", timeout=FETCH_SECONDS
            )
        except SourceUnavailable:
            return False
        return True

    @contextmanager
    def _locked(self, patience: float = FETCH_SECONDS) -> Iterator[int]:
        deadline = time.monotonic() + patience
        while (lock := self._try_to_lock()) is None:
            if time.monotonic() > deadline:
                raise SourceUnavailable(
                    f"another process has been fetching into {self.directory} for {patience:g} s; "
                    "it is read again later"
                )
            time.sleep(BUSY_PAUSE)
        try:
            yield lock
        finally:
            os.close(lock)

    def _try_to_lock(self) -> int | None:
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / IN_USE
        lock = -1
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_ino == path.stat().st_ino:
                return lock
        except (BlockingIOError, FileNotFoundError):
            pass  # taken, or the mirror was removed (its last source was erased) while we looked
        if lock >= 0:
            os.close(lock)
        return None
