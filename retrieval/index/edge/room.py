"""Room on the disk, asked for before it is needed.

The engine writes through mappings of files with holes. On a full disk such a write is no error that anybody
could report: the kernel kills the process (SIGBUS). What a step will take is therefore looked for first.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from retrieval.errors import DiskFull
from retrieval.index.point import IndexPoint

RESERVE = 32 << 20  # bytes that stay free: for the registry beside it, and for what the estimate misses
_PER_POINT = 512
_FULL = ("No space left on device", "Not enough space available")  # in the engine's words


def estimate(points: Sequence[IndexPoint]) -> int:
    """Bytes that points may take on disk: their numbers, their texts, and what the engine keeps of each."""
    return sum(
        _PER_POINT + p.vector.nbytes + 3 * p.weights.values.nbytes + 2 * len(str(p.payload)) for p in points
    )


def require(directory: Path, needed: int, subject: object) -> None:
    """Raise DiskFull unless `needed` bytes and the reserve are free on a directory's disk."""
    found = os.statvfs(directory)
    free = found.f_bavail * found.f_frsize
    if free < needed + RESERVE:
        raise DiskFull(
            f"{subject} takes about {-(-needed >> 20)} MB more than is safe: {free >> 20} MB are free on the disk of "
            f"{directory}, of which {RESERVE >> 20} MB are kept in reserve. {_REMEDY}"
        )


def says_full(error: Exception) -> bool:
    """Whether the engine failed for want of room."""
    return any(words in str(error) for words in _FULL)


@contextmanager
def disk_errors(subject: object) -> Iterator[None]:
    """Turn whatever says that the disk is full into DiskFull."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFull(f"the disk is full while {subject} is written. {_REMEDY}") from error
    except Exception as error:  # the engine raises nothing more precise
        if not says_full(error):
            raise
        raise DiskFull(f"the disk is full while {subject} is written. {_REMEDY}") from error


_REMEDY = "Nothing was sealed and what is live goes on serving: free some room, then run it again"
