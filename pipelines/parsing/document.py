"""What a parsed document is: its title and, in reading order, its sections and their blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BlockKind = Literal["paragraph", "list", "code", "table", "quote"]


@dataclass(frozen=True, slots=True)
class Block:
    """One block of text, never blank. A table has a row per line, cells joined by ' | '."""

    kind: BlockKind
    text: str


@dataclass(frozen=True, slots=True)
class Section:
    """The blocks directly under one heading; `heading_path` runs from the outermost heading inwards.

    `blocks` is empty only for a heading that has neither text nor headings under it.
    """

    heading_path: tuple[str, ...]
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A document's text. `title` is '' where neither the caller nor the document names one."""

    title: str
    sections: tuple[Section, ...]
