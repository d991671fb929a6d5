"""Reading a file of a folder as exactly the bytes that were scanned and hashed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pipelines.sources.folder.scan import Stamp

_BLOCK = 2**20


class ChangingError(Exception):
    """The file is not, or not any more, the one that was scanned."""


@contextmanager
def opened(path: Path, stamp: Stamp) -> Iterator[BinaryIO]:
    """The scanned file. Raises ChangingError where it is another one now, OSError where it is unreadable."""
    try:
        # O_NONBLOCK: a file that was replaced by a pipe since the scan must not block the capture.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise ChangingError(str(path)) from error
    with os.fdopen(descriptor, "rb") as stream:
        if Stamp.of(os.fstat(descriptor)) != stamp:
            raise ChangingError(str(path))
        yield stream


def digest_of(path: Path, stamp: Stamp) -> str:
    """SHA-256 of the file as 64 hex digits, read in blocks. Raises as `opened` does."""
    digest = hashlib.sha256()
    with opened(path, stamp) as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
        if Stamp.of(os.fstat(stream.fileno())) != stamp:
            raise ChangingError(str(path))
    return digest.hexdigest()


class HashedLines:
    """A binary file's lines, hashed as they pass."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()

    def readline(self, limit: int, /) -> bytes:
        line = self._stream.readline(limit)
        self._digest.update(line)
        return line

    def hexdigest(self) -> str:
        """Of what was read so far."""
        return self._digest.hexdigest()
