"""Plain text: paragraphs between blank lines, and the header of a PEP where there is one."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.parsing.decoding import decode
from pipelines.parsing.document import ParsedDocument
from pipelines.parsing.outline import Outline
from pipelines.parsing.pep_header import pep_title


def parse_content(content: bytes) -> ParsedDocument:
    """Parse UTF-8 (or byte-order-marked UTF-16) text."""
    text = decode(content)
    outline = Outline()
    for paragraph in paragraphs(text):
        outline.add("paragraph", paragraph)
    return outline.document(pep_title(text))


def paragraphs(text: str) -> Iterator[str]:
    """The runs of non-blank lines, in order; the lines stay as they are but for trailing whitespace."""
    lines: list[str] = []
    for line in text.replace("\f", "\n").split("\n"):
        stripped = line.rstrip()
        if stripped:
            lines.append(stripped)
        elif lines:
            yield "\n".join(lines)
            lines = []
    if lines:
        yield "\n".join(lines)
