"""Builds a document's sections from the headings and blocks that a format's parser meets in order."""

from __future__ import annotations

import re

from pipelines.parsing.document import Block, BlockKind, ParsedDocument, Section

# NUL cannot be stored by PostgreSQL and a lone surrogate has no UTF-8; parsers can produce both.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def one_line(text: str) -> str:
    """The text with every run of whitespace made one space: for titles, headings and table cells."""
    return " ".join(_storable(text).split())


def _storable(text: str) -> str:
    return _UNSTORABLE.sub("\ufffd", text)


class Outline:
    """Collects headings and blocks, and knows under which headings each block stands."""

    def __init__(self) -> None:
        self._sections: list[Section] = []
        self._headings: list[tuple[int, str]] = []
        self._blocks: list[Block] = []
        self._bare_heading = False
        self._outermost: tuple[int, str] | None = None

    def heading(self, level: int, text: str) -> None:
        """Start a section. `level` counts from 1 (outermost); levels may be skipped."""
        text = one_line(text)
        if not text:
            return
        # A heading with neither text nor subheadings keeps a section of its own, or its words would be lost.
        is_parent = bool(self._headings) and self._headings[-1][0] < level
        self._close(keep_bare=not is_parent)
        while self._headings and self._headings[-1][0] >= level:
            self._headings.pop()
        self._headings.append((level, text))
        if self._outermost is None or level < self._outermost[0]:
            self._outermost = (level, text)
        self._bare_heading = True

    def add(self, kind: BlockKind, text: str) -> None:
        """Append a block to the current section; blank text is no block."""
        text = _storable(text)
        if text and not text.isspace():
            self._blocks.append(Block(kind, text.rstrip().lstrip("\n")))

    @property
    def first_heading(self) -> str:
        """The first heading of the outermost level that there is, '' where there is no heading."""
        return self._outermost[1] if self._outermost else ""

    def document(self, title: str = "") -> ParsedDocument:
        """The document so far. `title` is its own title where the format names one."""
        self._close(keep_bare=True)
        return ParsedDocument(one_line(title), tuple(self._sections))

    def _close(self, keep_bare: bool) -> None:
        if self._blocks or (self._bare_heading and keep_bare):
            path = tuple(text for _, text in self._headings)
            self._sections.append(Section(path, tuple(self._blocks)))
        self._blocks = []
        self._bare_heading = False


def row_text(cells: list[str]) -> str:
    """One table row as one line; an empty cell keeps its place."""
    return " | ".join(one_line(cell) for cell in cells).strip()


def item_text(marker: str, body: str) -> str:
    """One list item: its further lines are indented to stand under its first."""
    return marker + body.replace("\n", "\n" + " " * len(marker))
