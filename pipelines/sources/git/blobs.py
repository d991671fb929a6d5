"""File contents by object id, all through one `git cat-file --batch` process."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from pipelines.errors import SourceError, SourceUnavailable
from pipelines.sources.git.repository import Repository, failure


class Blobs:
    """An open batch; one content in memory at a time."""

    def __init__(self, process: subprocess.Popen[bytes], stderr: IO[bytes]) -> None:
        self._process = process
        self._stderr = stderr
        self._open = True

    def size(self, blob: str) -> int:
        """Bytes. Raises SourceUnavailable where the object is missing or corrupted."""
        return self._ask("info", blob)

    def content(self, blob: str) -> bytes:
        """The bytes. Raises SourceUnavailable where the object is missing or corrupted."""
        size = self._ask("contents", blob)
        content = self._output.read(size)
        if len(content) != size or self._output.read(1) != b"\n":
            raise failure(self._stderr, self._process.poll())
        return content

    def close(self) -> None:
        self._open = False

    @property
    def _output(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def _ask(self, question: str, blob: str) -> int:
        if not self._open:
            raise SourceError("the changes of a git commit must be read before the next commit is asked for")
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{question} {blob}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise failure(self._stderr, self._process.poll()) from error
        answer = self._output.readline().split()
        if len(answer) == 3 and answer[1] == b"blob":
            return int(answer[2])
        if not answer:
            raise failure(self._stderr, self._process.poll())
        raise SourceUnavailable(f"git cannot read object {blob}: {answer[-1].decode(errors='replace')}")


@contextmanager
def open_blobs(repository: Repository) -> Iterator[Blobs]:
    """A batch that ends with the block."""
    with repository.process("cat-file", "--batch-command", stdin=subprocess.PIPE) as (process, stderr):
        blobs = Blobs(process, stderr)
        try:
            yield blobs
        finally:
            blobs.close()
