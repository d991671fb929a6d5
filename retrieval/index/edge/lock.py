"""A file lock per generation: shared by its readers, exclusive to build or remove it.

flock belongs to the open file, so that it excludes threads of one process as well as processes, and it ends
with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from retrieval.errors import IndexUnavailable
from retrieval.index.edge.layout import LOCK

_ABSENT = (
    "it was never sealed here, or it was removed; `holdfast rebuild` makes one that is live or retained again"
)


class GenerationLock:
    """Held from its making until `release`. Releasing twice is no error."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def create(cls, directory: Path) -> GenerationLock:
        """The exclusive lock of a directory that nobody else knows yet."""
        descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return cls(descriptor)

    @classmethod
    def share(cls, directory: Path, subject: object) -> GenerationLock:
        """A shared lock. Raises IndexUnavailable where there is no such directory, or not any more."""
        lock = cls._open(directory, fcntl.LOCK_SH)
        if lock is None:
            raise IndexUnavailable(f"{subject} is not on disk: {_ABSENT}")
        return lock

    @classmethod
    def try_exclusive(cls, directory: Path) -> GenerationLock | None:
        """The exclusive lock, or None while anyone holds it or where there is nothing to lock."""
        try:
            return cls._open(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None

    @classmethod
    def _open(cls, directory: Path, operation: int) -> GenerationLock | None:
        try:
            descriptor = os.open(directory / LOCK, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        lock = cls(descriptor)
        try:
            fcntl.flock(descriptor, operation)
            # Between opening and locking the directory may have been renamed away by a removal.
            if lock.is_of(directory):
                return lock
        except BaseException:
            lock.release()
            raise
        lock.release()
        return None

    def is_of(self, directory: Path) -> bool:
        """Whether the directory is still the one whose lock this is: not removed, erased or replaced meanwhile."""
        if self._descriptor is None:
            return False
        try:
            return os.path.samestat(os.stat(directory / LOCK), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let go."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
