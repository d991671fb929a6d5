"""Blocks of text from the nodes of a docutils tree."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from textwrap import dedent

from docutils import nodes

from pipelines.parsing.document import BlockKind
from pipelines.parsing.outline import item_text, row_text

_Blocks = Iterator[tuple[BlockKind, str]]

_SILENT_NODES = (
    nodes.comment,
    nodes.target,
    nodes.substitution_definition,
    nodes.pending,
    nodes.decoration,
    nodes.meta,
    nodes.raw,
    nodes.transition,
)
_LISTS = (
    nodes.bullet_list,
    nodes.enumerated_list,
    nodes.definition_list,
    nodes.field_list,
    nodes.option_list,
)
_ERROR = 3

_ROLE_TARGET = re.compile(r"(.*\S)\s*<[^<>]*>", re.DOTALL)
_DIRECTIVE = re.compile(r"\.\.[ \t]+(?:\|[^|\n]*\|[ \t]+)?([\w:.+-]+?)[ \t]*::(?:[ \t]+|$)", re.MULTILINE)
_OPTION = re.compile(r"[ \t]*:[\w-]+:(?:[ \t]|$)")
_CODE_DIRECTIVES = {"code", "code-block", "sourcecode", "parsed-literal", "math", "productionlist"}
# What these say is for the writer of a page, not for its reader.
_SILENT_DIRECTIVES = {"highlight", "index", "raw", "include", "contents", "default-domain", "currentmodule"}
_MAX_REPARSE = 8
_MAX_SUBSTITUTION = 1000  # longer, a short document could expand without bound


def role_text(role: str, text: str) -> str:
    """What a reader sees of interpreted text: its title without its target, and the series of a number."""
    titled = _ROLE_TARGET.fullmatch(text)
    if titled:
        return titled[1]
    name = role.lower().rpartition(":")[2]
    if name in ("pep", "rfc"):
        return f"{name.upper()} {text}"
    return text.lstrip("~!")


def inline_text(node: nodes.Node) -> str:
    """The words of inline nodes; footnote references keep their brackets and images their description."""
    if isinstance(node, nodes.Text):
        return node.astext()
    if isinstance(node, nodes.system_message | nodes.comment | nodes.raw):
        return ""
    if isinstance(node, nodes.image):
        return str(node.get("alt", ""))
    text = "".join(inline_text(child) for child in node.children)
    if isinstance(node, nodes.footnote_reference | nodes.citation_reference):
        text = text or str(
            node.get("refname", "")
        )  # a reference by name has its number from a transform only
        return f"[{text}]" if text else ""
    if isinstance(node, nodes.substitution_reference):
        return _substituted(node, text)
    return text


def _substituted(reference: nodes.substitution_reference, name: str) -> str:
    document = reference.document
    definitions = document.substitution_defs if document is not None else {}
    definition = definitions.get(name)
    if definition is None:
        return name
    value = "".join(
        str(child.get("alt", "")) if isinstance(child, nodes.image) else child.astext()
        for child in definition.children
    )
    return value if value and len(value) <= _MAX_SUBSTITUTION else name


class BlockReader:
    """Reads blocks from nodes; `parse` parses the content of a directive that docutils does not know."""

    def __init__(self, parse: Callable[[str], nodes.document], depth: int = 0) -> None:
        self._parse = parse
        self._depth = depth

    def read(self, node: nodes.Node) -> _Blocks:
        """Kind and text of each block in a node, in order. Text may be blank."""
        if isinstance(node, _SILENT_NODES) or (
            isinstance(node, nodes.topic) and "contents" in node["classes"]
        ):
            return
        if isinstance(node, nodes.system_message):
            yield from self._recovered(node)
        elif isinstance(node, nodes.literal_block | nodes.doctest_block | nodes.math_block):
            yield "code", inline_text(node)
        elif isinstance(node, _LISTS):
            yield "list", self._list(node)
        elif isinstance(node, nodes.table):
            yield "table", "\n".join(self._rows(node))
        elif isinstance(node, nodes.line_block):
            yield "paragraph", "\n".join(_lines(node))
        elif isinstance(node, nodes.footnote | nodes.citation):
            yield "paragraph", self._footnote(node)
        elif isinstance(node, nodes.block_quote):
            for kind, text in self._all(node):
                yield ("quote" if kind == "paragraph" else kind), text
        elif isinstance(node, nodes.TextElement | nodes.image):
            yield "paragraph", " ".join(inline_text(node).split())
        else:
            yield from self._all(node)

    def _all(self, node: nodes.Node) -> _Blocks:
        for child in node.children:
            yield from self.read(child)

    def _joined(self, node: nodes.Node) -> str:
        return "\n".join(text for _, text in self._all(node) if text.strip())

    def _list(self, node: nodes.Element) -> str:
        return "\n".join(self._item(node, item, position) for position, item in enumerate(node.children))

    def _item(self, parent: nodes.Element, item: nodes.Node, position: int) -> str:
        if isinstance(parent, nodes.enumerated_list):
            number = int(parent.get("start", 1)) + position
            return item_text(f"{number}. ", self._joined(item))
        if isinstance(parent, nodes.bullet_list):
            return item_text("- ", self._joined(item))
        if isinstance(item, nodes.field):
            return f"{inline_text(item[0])}: " + item_text("", self._joined(item[1])).replace("\n", "\n  ")
        # A definition or an option: its term, then what is said of it, indented.
        *terms, body = item.children
        term = " : ".join(" ".join(inline_text(part).split()) for part in terms)
        return item_text("    ", f"{term}\n{self._joined(body)}".rstrip())[4:]

    def _rows(self, table: nodes.table) -> Iterator[str]:
        for title in table.findall(nodes.title):
            yield inline_text(title)
        for row in table.findall(nodes.row):
            yield row_text([self._joined(cell) for cell in row.children])

    def _footnote(self, node: nodes.Element) -> str:
        label = next((inline_text(child) for child in node.children if isinstance(child, nodes.label)), "")
        label = label or next(iter(node["names"]), "")
        body = "\n".join(
            text
            for child in node.children
            if not isinstance(child, nodes.label)
            for _, text in self.read(child)
        )
        return f"[{label}] {body}" if label else body

    def _recovered(self, message: nodes.system_message) -> _Blocks:
        """The source text that docutils set aside in an error; nothing where the tree has it elsewhere."""
        sources = [child.astext() for child in message.children if isinstance(child, nodes.literal_block)]
        for source in sources:
            directive = _DIRECTIVE.match(source)
            if directive:
                yield from self._directive(directive[1].lower(), source[directive.end() :])
            elif int(message.get("level", 0)) >= _ERROR:
                yield "paragraph", source

    def _directive(self, name: str, source: str) -> _Blocks:
        if name in _SILENT_DIRECTIVES:
            return
        argument, body = _argument_and_body(source)
        if name in _CODE_DIRECTIVES:
            yield "code", body if body.strip() else argument
            return
        yield "paragraph", " ".join(argument.replace("``", "").split())
        if not body.strip():
            return
        if self._depth == _MAX_REPARSE:
            yield "paragraph", body
        else:
            yield from BlockReader(self._parse, self._depth + 1)._all(self._parse(body))


def _lines(block: nodes.Element, indent: str = "") -> Iterator[str]:
    for child in block.children:
        if isinstance(child, nodes.line_block):
            yield from _lines(child, indent + "    ")
        else:
            yield indent + inline_text(child)


def _argument_and_body(source: str) -> tuple[str, str]:
    """What follows '::' up to the first blank line, without options; and the dedented rest."""
    first, _, rest = source.partition("\n")
    lines = dedent(rest).split("\n")
    end = next((number for number, line in enumerate(lines) if not line.strip()), len(lines))
    argument = [first, *(line for line in lines[:end] if not _OPTION.match(line))]
    return "\n".join(argument), "\n".join(lines[end:])
