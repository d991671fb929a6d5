"""Sparse files: copied, digested and made durable without filling their holes.

A shard of one megabyte has an apparent size of a hundred, for the engine reserves room in every file it
writes, and has no setting for less. A copy or a digest that read the holes would cost a hundred times as
much.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

_BLOCK = 4096
_CHUNK = 1 << 20
_ZEROS = bytes(_BLOCK)
BEING_WRITTEN = ".atomicwrite"
REMOVALS = 20


def copy_tree(source: Path, target: Path) -> None:
    """Copy a directory of files to a new one, holes as holes; what the engine is about to rename is left out."""
    for folder, names in _walk(source, _raise):
        copied = target / folder.relative_to(source)
        copied.mkdir()
        for name in sorted(names):
            _copy(folder / name, copied / name)


def digest_tree(root: Path, ignore: frozenset[str] = frozenset()) -> dict[str, str]:
    """Path below `root` -> digest of every file whose name is not ignored.

    What the engine is about to rename counts for nothing: it writes its settings at every load, and leaves that behind
    where it is killed meanwhile.
    """
    found = {}
    for folder, names in _walk(root):
        for path in (folder / name for name in names if name not in ignore):
            found[path.relative_to(root).as_posix()] = digest_file(path)
    return dict(sorted(found.items()))


def _walk(root: Path, failed: Callable[[OSError], None] | None = None) -> Iterator[tuple[Path, list[str]]]:
    """Folders, each before those within it, with the names of their files; without those that the engine will rename.

    `failed` is told of a folder that cannot be listed.
    """
    for folder, folders, names in os.walk(root, onerror=failed):
        folders[:] = [name for name in folders if not name.startswith(BEING_WRITTEN)]
        yield Path(folder), names


def _raise(error: OSError) -> None:
    raise error


def remove_tree(root: Path) -> None:
    """Remove a directory, whoever else is removing it, or still writing to it, at the same time."""
    for _ in range(REMOVALS):
        try:
            shutil.rmtree(root)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise
        if not root.exists():
            return
    shutil.rmtree(root)


def digest_file(path: Path) -> str:
    """SHA-256 over a file's size and its blocks of 4096 bytes that are not all zero, each with its offset.

    A hole and a block of zeros read the same and digest the same, so the digest survives any kind of copy.
    """
    with path.open("rb") as file:
        digest = hashlib.sha256(struct.pack("<Q", os.fstat(file.fileno()).st_size))
        for offset, block in _blocks(file.fileno()):
            digest.update(struct.pack("<Q", offset))
            digest.update(block)
    return digest.hexdigest()


def sync_tree(root: Path) -> None:
    """fsync every file below a directory, then the directories from the deepest up, itself last."""
    entries = sorted(root.rglob("*"), key=lambda path: len(path.parts), reverse=True)
    for path in [p for p in entries if p.is_file()] + [p for p in entries if p.is_dir()] + [root]:
        sync(path)


def sync(path: Path) -> None:
    """fsync one file or directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def allocated_bytes(root: Path) -> int:
    """Bytes that the files below a directory take on disk; what goes while it is counted counts for nothing."""
    return sum(_allocated(Path(folder, name)) for folder, _, names in os.walk(root) for name in names)


def _allocated(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as reader, target.open("xb") as writer:
        os.ftruncate(writer.fileno(), os.fstat(reader.fileno()).st_size)
        for offset, block in _blocks(reader.fileno()):
            os.pwrite(writer.fileno(), block, offset)


def _blocks(descriptor: int) -> Iterator[tuple[int, memoryview]]:
    """(offset, bytes) of every aligned block that is not all zero; the last one of a file may be short."""
    for start, end in _data_extents(descriptor):
        for offset in range(start, end, _CHUNK):
            chunk = memoryview(os.pread(descriptor, min(_CHUNK, end - offset), offset))
            for within in range(0, len(chunk), _BLOCK):
                block = chunk[within : within + _BLOCK]
                if block != _ZEROS[: len(block)]:
                    yield offset + within, block


def _data_extents(descriptor: int) -> Iterator[tuple[int, int]]:
    """Ranges that may hold data, widened to whole blocks and never overlapping."""
    size = os.fstat(descriptor).st_size
    end = 0
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                return
            raise
        start = max(end, start - start % _BLOCK)
        hole = os.lseek(descriptor, start + 1, os.SEEK_HOLE) if start + 1 < size else size
        end = min(size, hole + -hole % _BLOCK)
        yield start, end
