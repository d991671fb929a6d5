"""What preparing a document gives, and who prepares. No registry in here: a process that only parses imports it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pipelines.build.configuration import BuildConfiguration


@dataclass(frozen=True, slots=True)
class PreparedChunk:
    """One chunk: its text as embedded, indexed and shown, and its packed term counts."""

    text: str
    heading: tuple[str, ...]
    tokens: int
    terms: bytes
    length: int


@dataclass(frozen=True, slots=True)
class PreparedDocument:
    """A document's own title and its chunks in order."""

    title: str
    chunks: tuple[PreparedChunk, ...]


Prepare = Callable[[bytes, str, str], PreparedDocument]


class Preparer(Protocol):
    """Turns documents into chunks, and says in which configuration."""

    def prepare(self, content: bytes, media_type: str, title: str) -> PreparedDocument:
        """Parse and chunk one document. Raises ParseError."""
        ...

    def configuration(self, model_id: str) -> BuildConfiguration:
        """What a generation prepared by this is built with."""
        ...
