"""reStructuredText, Python Enhancement Proposals among it, by docutils' parser without its transforms.

Nothing is executed, read or included. Directives and roles that docutils does not know (Sphinx's, say) keep
their text: an unknown directive is found in the error node that docutils leaves, and its content is parsed
by itself; roles never reach docutils at all. Nothing is registered in docutils' own tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from functools import cache
from types import SimpleNamespace
from typing import Any

from docutils import frontend, nodes
from docutils.frontend import Values
from docutils.parsers import rst
from docutils.parsers.rst import roles, states
from docutils.utils import new_document, unescape

from pipelines.parsing.decoding import decode
from pipelines.parsing.document import ParsedDocument
from pipelines.parsing.outline import Outline
from pipelines.parsing.pep_header import has_pep_header, pep_title
from pipelines.parsing.rst_nodes import BlockReader, inline_text, role_text

_SILENT = 5  # above docutils' severest level
# docutils needs time quadratic in the length of a paragraph; a longer one keeps its markup as text.
_MAX_INLINE = 10_000


def parse_content(content: bytes) -> ParsedDocument:
    """Parse UTF-8 (or byte-order-marked UTF-16) reStructuredText."""
    text = decode(content)
    tree = parse_tree(text, is_pep=has_pep_header(text))
    outline = Outline()
    _add(tree, outline, 1)
    title = pep_title(text) or tree.get("title") or _title_field(tree) or outline.first_heading
    return outline.document(str(title))


def parse_tree(text: str, is_pep: bool = False) -> nodes.document:
    """docutils' tree of a text, with the module-wide roles put back that the text may have defined."""
    document = new_document("document", _settings(len(text)))
    known_roles = dict(_role_table())
    try:
        rst.Parser(rfc2822=is_pep, inliner=_inliner()).parse(text, document)
    finally:
        _role_table().clear()
        _role_table().update(known_roles)
    return document


def _inliner() -> states.Inliner:
    """An inliner that reads every interpreted text here, so that no role is unknown and none is executed."""
    inliner = states.Inliner()
    # Not a subclass: docutils builds the patterns from the attributes of the instance's own class alone.
    inliner.interpreted = _interpreted  # type: ignore[method-assign]
    with_markup = inliner.parse

    def parse(
        text: str, lineno: int, memo: SimpleNamespace, parent: nodes.Element
    ) -> tuple[list[Any], list[Any]]:
        if len(text) > _MAX_INLINE:
            return [nodes.Text(text)], []
        return with_markup(text, lineno, memo, parent)

    inliner.parse = parse  # type: ignore[method-assign]
    return inliner


def _interpreted(rawsource: str, text: str, role: str, lineno: int) -> tuple[list[Any], list[Any]]:
    return [nodes.inline(rawsource, role_text(role, unescape(text)))], []


def _role_table() -> dict[str, Any]:
    table: dict[str, Any] = roles._roles  # type: ignore[attr-defined]
    return table


@cache
def _defaults() -> Values:
    settings = frontend.get_default_settings(rst.Parser)
    settings.file_insertion_enabled = False
    settings.raw_enabled = False
    settings.syntax_highlight = "none"
    settings.report_level = settings.halt_level = _SILENT
    settings.warning_stream = False
    settings.pep_references = settings.rfc_references = False
    return settings


def _settings(length: int) -> Values:
    settings = copy(_defaults())
    settings.line_length_limit = length + 1  # docutils drops a document that has a longer line
    return settings


def _add(parent: nodes.Element, outline: Outline, level: int) -> None:
    reader = BlockReader(parse_tree)
    for child in parent.children:
        if isinstance(child, nodes.section):
            title = child.next_node(nodes.title)
            outline.heading(level, inline_text(title) if title is not None else "")
            _add(child, outline, level + 1)
        elif not (isinstance(child, nodes.title) and isinstance(parent, nodes.section)):
            for kind, text in reader.read(child):
                outline.add(kind, text)


def _title_field(tree: nodes.document) -> str:
    """The title field of a leading field list (docutils' docinfo)."""
    fields: Iterator[nodes.field_list] = (n for n in tree.children if isinstance(n, nodes.field_list))
    for field in next(fields, nodes.field_list()).children:
        if isinstance(field, nodes.field) and inline_text(field[0]).strip().lower() == "title":
            return inline_text(field[1])
    return ""
