"""Markdown by the CommonMark specification, with GitHub's tables and YAML front matter."""

from __future__ import annotations

import re
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from pipelines.parsing.decoding import decode
from pipelines.parsing.document import BlockKind, ParsedDocument
from pipelines.parsing.html import html_text
from pipelines.parsing.outline import Outline, item_text, row_text

_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title:[ \t]*(.+?)[ \t]*$", re.MULTILINE)
_FRONT_LIMIT = 20_000


def parse_content(content: bytes) -> ParsedDocument:
    """Parse UTF-8 (or byte-order-marked UTF-16) Markdown."""
    text = decode(content)
    outline = Outline()
    title = ""
    front = _FRONT_MATTER.match(text[:_FRONT_LIMIT])
    if front:
        outline.add("list", front[1])
        named = _FRONT_TITLE.search(front[1])
        title = named[1].strip("'\"") if named else ""
        text = text[front.end() :]
    for node in SyntaxTreeNode(_markdown().parse(text)).children:
        _add(node, outline)
    return outline.document(title or outline.first_heading)


@cache
def _markdown() -> MarkdownIt:
    # Beyond its nesting limit markdown-it drops text in silence; beyond Python's it raises, which is told.
    return MarkdownIt("commonmark", {"maxNesting": 1_000_000}).enable(["table", "strikethrough"])


def _add(node: SyntaxTreeNode, outline: Outline) -> None:
    if node.type == "heading":
        outline.heading(int(node.tag[1:]), _inline(node))
    elif node.type == "blockquote":
        for child in node.children:
            kind, text = _block(child)
            outline.add("quote" if kind == "paragraph" else kind, text)
    else:
        outline.add(*_block(node))


def _block(node: SyntaxTreeNode) -> tuple[BlockKind, str]:
    if node.type in ("fence", "code_block"):
        return "code", node.content
    if node.type == "html_block":
        return "paragraph", html_text(node.content)
    if node.type == "table":
        return "table", "\n".join(_rows(node))
    if node.type in ("bullet_list", "ordered_list"):
        return "list", _list(node)
    if node.type == "blockquote":
        return "quote", "\n".join(_block(child)[1] for child in node.children)
    return "paragraph", _inline(node)


def _list(node: SyntaxTreeNode) -> str:
    start = int(str(node.attrs.get("start", 1)))
    items = []
    for position, item in enumerate(node.children):
        marker = "- " if node.type == "bullet_list" else f"{start + position}. "
        body = "\n".join(_block(child)[1].strip("\n") for child in item.children)
        items.append(item_text(marker, body))
    return "\n".join(items)


def _rows(table: SyntaxTreeNode) -> list[str]:
    rows = [row for part in table.children for row in part.children]
    return [row_text([_inline(cell) for cell in row.children]) for row in rows]


def _inline(node: SyntaxTreeNode) -> str:
    """The words of inline content; an image gives its description, inline HTML tags give nothing."""
    if node.type in ("text", "code_inline"):
        return node.content
    if node.type == "softbreak":
        return " "
    if node.type == "hardbreak":
        return "\n"
    return "".join(_inline(child) for child in node.children)
