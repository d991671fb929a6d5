"""What a folder looks like at a glance: the documents in it by name and stat, without reading them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.errors import SourceError, SourceUnavailable
from pipelines.sources.files import file_key, is_document, size_flaw

ENTRY_LIMIT = 2_000_000


@dataclass(frozen=True, slots=True)
class Stamp:
    """What changes when a file is written, replaced or moved (times in nanoseconds)."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


@dataclass(frozen=True, slots=True)
class Scan:
    """Readable files by key; why other documents and directories (keys ending in /) cannot be read."""

    root: tuple[int, int]
    files: dict[str, Stamp] = field(default_factory=dict)
    flaws: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Directory:
    path: str
    prefix: str
    chain: frozenset[tuple[int, int]]  # this directory and those above it, so that a link upwards is no loop


def scan(root: Path) -> Scan:
    """Names and stats of the documents under `root`, hidden files and directories left out.

    Symbolic links are followed as long as they stay inside. Raises SourceUnavailable where the root cannot
    be listed, SourceError where it is no directory.
    """
    status = _root_status(root)
    seen = Scan((status.st_dev, status.st_ino))
    top = str(root.resolve())
    pending = [_Directory(top, "", frozenset({seen.root}))]
    entries = 0
    while pending:
        directory = pending.pop()
        for entry in _entries(directory, seen):
            entries += 1
            if entries > ENTRY_LIMIT:
                raise SourceError(
                    f"folder {root} has more than {ENTRY_LIMIT} entries; do its links multiply?"
                )
            if not entry.name.startswith(".") and (below := _look(entry, directory, top, seen)):
                pending.append(below)
    return seen


def _root_status(root: Path) -> os.stat_result:
    try:
        status = root.stat()
    except OSError as error:
        raise SourceUnavailable(f"folder {root} cannot be read: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode):
        raise SourceError(f"{root} is not a folder; give the folder that holds the documents")
    return status


def _entries(directory: _Directory, seen: Scan) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(directory.path) as listing:
            yield from listing
    except (FileNotFoundError, NotADirectoryError) as error:
        if not directory.prefix:
            raise SourceUnavailable(f"folder {directory.path} vanished") from error
    except OSError as error:
        if not directory.prefix:
            raise SourceUnavailable(f"folder {directory.path} cannot be read: {error.strerror}") from error
        seen.flaws[file_key(directory.prefix)[0]] = f"the directory cannot be read: {error.strerror}"


def _look(entry: os.DirEntry[str], directory: _Directory, top: str, seen: Scan) -> _Directory | None:
    """Notes a document; a directory to look into is returned."""
    path = directory.prefix + entry.name
    wanted = is_document(entry.name)
    try:
        status = entry.stat(follow_symlinks=True)
        inside = not entry.is_symlink() or _is_inside(os.path.realpath(entry.path), top)
    except OSError as error:
        _note_failure(entry, path, error, seen)
        return None
    if stat.S_ISDIR(status.st_mode):
        return _descend(entry, path, status, directory, inside, seen)
    if wanted:
        _note(path, status, inside, seen)
    return None


def _note_failure(entry: os.DirEntry[str], path: str, error: OSError, seen: Scan) -> None:
    """What is there but has no stat. A file that vanished since it was listed is just gone."""
    if isinstance(error, FileNotFoundError) and not entry.is_symlink():
        return
    if entry.is_dir(follow_symlinks=False):
        seen.flaws[file_key(f"{path}/")[0]] = f"the directory cannot be read: {error.strerror}"
    elif is_document(entry.name):
        seen.flaws[file_key(path)[0]] = f"the file cannot be read: {error.strerror}"


def _descend(
    entry: os.DirEntry[str],
    path: str,
    status: os.stat_result,
    above: _Directory,
    inside: bool,
    seen: Scan,
) -> _Directory | None:
    identity = (status.st_dev, status.st_ino)
    if not inside:
        seen.flaws[file_key(f"{path}/")[0]] = "the link leads out of the folder"
        return None
    if identity in above.chain:
        return None
    return _Directory(entry.path, f"{path}/", above.chain | {identity})


def _note(path: str, status: os.stat_result, inside: bool, seen: Scan) -> None:
    key, flaw = file_key(path)
    if not inside:
        flaw = "the link leads out of the folder"
    elif not stat.S_ISREG(status.st_mode):
        flaw = "it is not a regular file"
    flaw = flaw or size_flaw(path, status.st_size)
    if flaw:
        seen.flaws[key] = flaw
    else:
        seen.files[key] = Stamp.of(status)


def _is_inside(path: str, top: str) -> bool:
    return path == top or path.startswith(top.rstrip("/") + "/")
