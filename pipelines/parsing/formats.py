"""The formats that can be parsed: their media types, file suffixes and parsers. Stdlib only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import PurePath
from typing import cast

from pipelines.parsing.document import ParsedDocument

Parser = Callable[[bytes], ParsedDocument]


@dataclass(frozen=True, slots=True)
class Format:
    """A format and the module that parses it; the first media type is the one that suffixes map to."""

    name: str
    media_types: tuple[str, ...]
    suffixes: tuple[str, ...]
    module: str

    def parser(self) -> Parser:
        """The module's `parse_content`, imported now: parser libraries load only when their format is met."""
        module = import_module(f"pipelines.parsing.{self.module}")
        return cast(Parser, module.parse_content)


_DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"

FORMATS = (
    Format("Markdown", ("text/markdown", "text/x-markdown"), (".md", ".markdown"), "markdown"),
    Format("plain text", ("text/plain",), (".txt", ".text"), "plain"),
    Format("reStructuredText", ("text/x-rst", "text/prs.fallenstein.rst"), (".rst",), "restructuredtext"),
    Format("HTML", ("text/html", "application/xhtml+xml"), (".html", ".htm", ".xhtml"), "html"),
    Format("PDF", ("application/pdf",), (".pdf",), "pdf"),
    Format("DOCX", (_DOCX,), (".docx",), "docx"),
)

_BY_SUFFIX = {suffix: known for known in FORMATS for suffix in known.suffixes}
_BY_MEDIA_TYPE = {media_type: known for known in FORMATS for media_type in known.media_types}


def media_type_for(path: str | PurePath) -> str | None:
    """The media type that a file's suffix stands for, in any case; None where there is no parser for it."""
    known = _BY_SUFFIX.get(PurePath(path).suffix.lower())
    return known.media_types[0] if known else None


def format_for(media_type: str) -> Format | None:
    """The format of a media type; parameters such as `; charset=utf-8` are ignored."""
    return _BY_MEDIA_TYPE.get(media_type.partition(";")[0].strip().lower())
