"""HTML: headings and blocks in document order, without scripts, styles and navigation."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bs4 import BeautifulSoup, Tag
from bs4.element import NavigableString, PageElement, PreformattedString

from pipelines.parsing.decoding import decode
from pipelines.parsing.document import BlockKind, ParsedDocument
from pipelines.parsing.outline import Outline, item_text, one_line, row_text

_DECLARED = re.compile(rb"<meta[^>]{0,200}?charset\s{0,9}=\s{0,9}[\"']?\s{0,9}([\w.:-]{1,40})", re.IGNORECASE)
_DECLARED_WITHIN = 4096

# fmt: off
_DROPPED = frozenset(
    {
        "script", "style", "nav", "template", "noscript", "head", "iframe", "object", "svg", "canvas",
        "button", "select", "textarea",
    }
)
# fmt: on
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_LISTS = frozenset({"ul", "ol", "dl", "menu"})
_LAYOUT = [*_HEADINGS, "table", "pre", "ul", "ol"]
# fmt: off
_BLOCKS = frozenset(
    {
        "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details",
        "dialog", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2",
        "h3", "h4", "h5", "h6", "header", "hgroup", "hr", "html", "li", "main", "menu", "ol", "p",
        "pre", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
    }
)
# fmt: on


def parse_content(content: bytes) -> ParsedDocument:
    """Parse HTML in UTF-8, or in the charset that its own <meta> declares."""
    declared = _DECLARED.search(content[:_DECLARED_WITHIN])
    soup = BeautifulSoup(decode(content, declared[1].decode("ascii") if declared else None), "lxml")
    title = soup.title.get_text() if soup.title else ""
    outline = Outline()
    _Reader(outline).read(soup)
    return outline.document(title if title.strip() else outline.first_heading)


def html_text(fragment: str) -> str:
    """The visible text of a fragment, a block per line: for HTML inside another format."""
    outline = Outline()
    _Reader(outline).read(BeautifulSoup(fragment, "lxml"))
    sections = outline.document().sections
    lines = [(*section.heading_path[-1:], *(block.text for block in section.blocks)) for section in sections]
    return "\n".join(line for section in lines for line in section)


class _Reader:
    """Walks a tree without recursion (pages nest thousands deep) and hands its blocks to an outline."""

    def __init__(self, outline: Outline) -> None:
        self._outline = outline
        self._inline: list[str] = []
        self._quotes = 0
        self._lists: list[Tag] = []
        self._lines: list[str] = []
        self._marker = ""

    def read(self, soup: BeautifulSoup) -> None:
        for node, entered in _walk(soup):
            if isinstance(node, Tag):
                self._enter(node) if entered else self._leave(node)
            else:
                self._inline.append(str(node))
        self._flush()

    def _enter(self, tag: Tag) -> None:
        if tag.name == "br":
            self._inline.append("\0")
        elif tag.name == "img":
            self._inline.append(f" {tag.get('alt', '')} ")
        if tag.name not in _BLOCKS:
            return
        self._flush()
        if _is_whole(tag):
            self._add_whole(tag)
        elif tag.name in _LISTS:
            self._lists.append(tag)
        elif tag.name == "li":
            self._marker = "- "
        elif tag.name == "blockquote":
            self._quotes += 1

    def _leave(self, tag: Tag) -> None:
        if tag.name not in _BLOCKS:
            return
        self._flush()
        if tag.name == "blockquote":
            self._quotes -= 1
        elif self._lists and tag is self._lists[-1]:
            self._lists.pop()
            if not self._lists:
                self._outline.add("list", "\n".join(self._lines))
                self._lines = []

    def _add_whole(self, tag: Tag) -> None:
        if tag.name in _HEADINGS and not self._lists:
            self._outline.heading(_HEADINGS[tag.name], _text(tag))
        elif tag.name == "pre":
            self._add("code", _text(tag))
        elif tag.name == "table":
            self._add("table", "\n".join(_rows(tag)))
        else:
            self._add("paragraph", one_line(_text(tag)))

    def _flush(self) -> None:
        lines = "".join(self._inline).split("\0")
        self._inline = []
        text = "\n".join(filter(None, map(one_line, lines)))
        if text:
            self._add("quote" if self._quotes else "paragraph", text)

    def _add(self, kind: BlockKind, text: str) -> None:
        if not self._lists:
            self._outline.add(kind, text)
        elif text.strip():
            indent = "  " * min(len(self._lists) - 1, 8)
            self._lines.append(item_text(indent + (self._marker or "  "), text.strip("\n")))
            self._marker = ""


def _walk(root: Tag, whole: bool = True) -> Iterator[tuple[PageElement, bool]]:
    """Every visible node in document order: a tag on entering (True) and leaving (False), a string once.

    With `whole`, tags that are taken at once are not walked into.
    """
    stack: list[tuple[PageElement, bool]] = [(child, True) for child in reversed(root.contents)]
    while stack:
        node, entered = stack.pop()
        if isinstance(node, Tag):
            if node.name in _DROPPED or node.get("role") == "navigation":
                continue
            if entered:
                stack.append((node, False))
                if not (whole and node.name in _BLOCKS and _is_whole(node)):
                    stack.extend((child, True) for child in reversed(node.contents))
            yield node, entered
        elif isinstance(node, NavigableString) and not isinstance(node, PreformattedString):
            yield node, True  # a preformatted string is a comment, a declaration and the like


def _text(root: Tag, separator: str = "") -> str:
    parts = ("\n" if _is_break(node) else str(node) for node, _ in _walk(root, whole=False) if _says(node))
    return separator.join(parts)


def _says(node: PageElement) -> bool:
    return isinstance(node, NavigableString) or _is_break(node)


def _is_break(node: PageElement) -> bool:
    return isinstance(node, Tag) and node.name == "br"


def _is_whole(tag: Tag) -> bool:
    """Whether the tag is taken at once. A table that lays out a page is walked through instead."""
    if tag.name == "table":
        return tag.find(_LAYOUT) is None
    return tag.name in _HEADINGS or tag.name == "pre"


def _rows(table: Tag) -> Iterator[str]:
    caption = table.find("caption")
    if caption:
        yield one_line(_text(caption))
    for row in table.find_all("tr"):
        yield row_text([_text(cell, " ") for cell in row.find_all(["th", "td"])])
