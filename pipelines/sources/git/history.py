"""The first-parent line of a branch and what each commit on it changed."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from pipelines.sources.git.repository import Repository, failure

_REGULAR = ("100644", "100755", "100664")
_SYMLINK = "120000"


@dataclass(frozen=True, slots=True)
class Blob:
    """A file or symbolic link in a tree."""

    mode: str
    object: str

    @property
    def is_file(self) -> bool:
        return self.mode in _REGULAR

    @property
    def is_link(self) -> bool:
        return self.mode == _SYMLINK


@dataclass(frozen=True, slots=True)
class FileChange:
    """A path (surrogate-escaped UTF-8) with what was there before a commit and what is there after it."""

    path: str
    before: Blob | None
    after: Blob | None


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit on the line; `time` is the committer's, in seconds since 1970."""

    commit: str
    parent: str | None
    time: int


def has_commit(repository: Repository, commit: str) -> bool:
    """Whether the repository holds a commit, on a branch or not."""
    return repository.find("cat-file", "-t", commit) == "commit"


def revisions_since(repository: Repository, last: str, tip: str) -> list[Revision] | None:
    """The commits after `last` up to `tip`, oldest first; None where `last` is not on that line."""
    if last == tip:
        return []
    if not has_commit(repository, last):
        return None
    line = _revisions(repository, f"{last}..{tip}")
    return line if line and line[0].parent == last else None


def revision(repository: Repository, commit: str) -> Revision:
    """One commit."""
    return _revisions(repository, "--max-count=1", commit)[0]


def tree(repository: Repository, commit: str, path: str) -> Iterator[FileChange]:
    """Every file under `path` in a commit, as if it had just been added."""
    listing = repository.ask("ls-tree", "-r", "-z", "--full-tree", commit, *_below(path))
    for entry in listing.split(b"\0")[:-1]:
        fields, _, name = entry.partition(b"\t")
        mode, kind, blob = fields.decode().split()
        if kind == "blob":
            yield FileChange(_text(name), None, Blob(mode, blob))


def changes(
    repository: Repository, revisions: Sequence[Revision], path: str
) -> Iterator[tuple[Revision, list[FileChange]]]:
    """Each commit with the files under `path` that differ from its first parent, renames as two."""
    with tempfile.TemporaryFile() as wanted:
        wanted.writelines(f"{one.commit} {one.parent}\n".encode() for one in revisions)
        wanted.seek(0)
        arguments = (
            "-r",
            "-z",
            "--raw",
            "--no-abbrev",
            "--no-renames",
            "--no-ext-diff",
            "--always",
            "--stdin",
        )
        with repository.process("diff-tree", *arguments, *_below(path), stdin=wanted) as (process, stderr):
            assert process.stdout is not None
            yield from zip(revisions, _grouped(process.stdout, process, stderr), strict=True)


def _grouped(
    output: IO[bytes], process: subprocess.Popen[bytes], stderr: IO[bytes]
) -> Iterator[list[FileChange]]:
    """The files of each commit: its id, then pairs of a line that begins with a colon and a path."""
    files: list[FileChange] | None = None
    fields = _fields(output)
    for field in fields:
        if field.startswith(b":"):
            assert files is not None
            files.append(_change(field, next(fields)))
            continue
        if files is not None:
            yield files
        files = []
    # Only now is the last commit known to be whole: git may have died in the middle of it.
    if process.wait():
        raise failure(stderr, process.returncode)
    if files is not None:
        yield files


def _fields(output: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while block := output.read(2**16):
        *whole, rest = (rest + block).split(b"\0")
        yield from whole


def _change(fields: bytes, path: bytes) -> FileChange:
    mode_before, mode_after, before, after, _ = fields[1:].decode().split()
    return FileChange(_text(path), _blob(mode_before, before), _blob(mode_after, after))


def _blob(mode: str, blob: str) -> Blob | None:
    return Blob(mode, blob) if mode in _REGULAR or mode == _SYMLINK else None


def _revisions(repository: Repository, *which: str) -> list[Revision]:
    order = ("--first-parent", "--reverse", "--parents", "--timestamp")
    lines = repository.ask("rev-list", *order, *which, "--").decode().splitlines()
    return [_revision(line.split()) for line in lines]


def _revision(fields: list[str]) -> Revision:
    return Revision(fields[1], fields[2] if len(fields) > 2 else None, int(fields[0]))


def _below(path: str) -> tuple[str, ...]:
    return ("--", path) if path else ()


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
