"""DOCX: paragraphs by their style, lists and tables, in document order."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any, TypeAlias

import docx
from docx.document import Document
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.opc.exceptions import PackageNotFoundError
from docx.oxml.ns import qn

from pipelines.errors import ParseError
from pipelines.parsing.document import BlockKind, ParsedDocument
from pipelines.parsing.outline import Outline, row_text

_Xml: TypeAlias = Any  # lxml has no types, and python-docx adds the attributes at run time

_MAX_UNPACKED_BYTES = 512 * 2**20
_HEADING = re.compile(r"heading (\d)", re.IGNORECASE)
_KINDS: tuple[tuple[str, BlockKind], ...] = (
    ("list", "list"),
    ("quote", "quote"),
    ("code", "code"),
    ("macro", "code"),
    ("html preformatted", "code"),
)
_P, _TBL, _TR, _TC = qn("w:p"), qn("w:tbl"), qn("w:tr"), qn("w:tc")
_TEXT = {qn("w:tab"): "\t", qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:noBreakHyphen"): "-"}
_T = qn("w:t")
_PROPERTIES = {qn("w:pPr"), qn("w:rPr"), qn("w:tblPr"), qn("w:sectPr")}
# The copy of a text box for old readers, and deleted or moved text of tracked changes.
_SKIPPED = {
    "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback",
    qn("w:del"),
    qn("w:moveFrom"),
    *_PROPERTIES,
}


def parse_content(content: bytes) -> ParsedDocument:
    """Parse a DOCX. Raises ParseError where it is corrupt, or would unpack to more than 512 MiB."""
    document = _open(content)
    outline = Outline()
    list_lines: list[str] = []
    for element in _blocks(document.element.body):
        kind, level, text = _classify(element, document)
        if kind == "list" and level is None:
            list_lines.append(f"- {text}")
            continue
        _add_list(list_lines, outline)
        if level is None:
            outline.add(kind, text)
        else:
            outline.heading(level + 1, text)
    _add_list(list_lines, outline)
    return outline.document(_own_title(document) or outline.first_heading)


def _open(content: bytes) -> Document:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > _MAX_UNPACKED_BYTES:
            raise ParseError(f"would unpack to {unpacked:,} bytes, more than {_MAX_UNPACKED_BYTES:,}")
        return docx.Document(io.BytesIO(content))
    except (zipfile.BadZipFile, PackageNotFoundError, KeyError, ValueError, OSError) as error:
        raise ParseError("is a corrupt DOCX, or none: it cannot be opened") from error


def _own_title(document: Document) -> str:
    # Asked for properties that are not there, python-docx makes some up, with a title of its own.
    kinds = {relation.reltype for relation in document.part.package.rels.values()}
    return document.core_properties.title if RELATIONSHIP_TYPE.CORE_PROPERTIES in kinds else ""


def _blocks(parent: _Xml) -> Iterator[_Xml]:
    """Paragraphs and outermost tables in order, also those inside content controls and text boxes."""
    for child in parent.iterchildren():
        if child.tag == _TBL:
            yield child
        elif child.tag not in _SKIPPED:
            if child.tag == _P:
                yield child
            yield from _blocks(child)


def _classify(element: _Xml, document: Document) -> tuple[BlockKind, int | None, str]:
    """Kind, heading level (0 is the document's title) or None, and text."""
    if element.tag == _TBL:
        return "table", None, "\n".join(_rows(element))
    text = "".join(_runs(element)).strip("\n")
    style = _style(element, document)
    heading = _HEADING.match(style)
    if heading or style == "title":
        return "paragraph", int(heading[1]) if heading else 0, text
    if element.pPr is not None and element.pPr.numPr is not None and text.strip():
        return "list", None, text
    if not text.strip():
        return "paragraph", None, ""
    return next((kind for name, kind in _KINDS if name in style), "paragraph"), None, text


def _style(paragraph: _Xml, document: Document) -> str:
    style_id = paragraph.style
    if style_id is None:
        return ""
    found = document.styles.element.get_by_id(style_id)
    return str(found.name_val if found is not None else style_id).lower()


def _runs(element: _Xml) -> Iterator[str]:
    """Text of one paragraph, through hyperlinks, insertions and fields, without that of nested paragraphs."""
    for child in element.iterchildren():
        if child.tag == _T:
            yield child.text or ""
        elif child.tag in _TEXT:
            yield _TEXT[child.tag]
        elif child.tag not in _SKIPPED and child.tag not in (_P, _TBL):
            yield from _runs(child)


def _rows(table: _Xml) -> Iterator[str]:
    for row in table.iter(_TR):
        cells = [cell for cell in row.iter(_TC) if next(cell.iterancestors(_TR)) is row]
        yield row_text([" ".join("".join(_runs(p)) for p in cell.iter(_P)) for cell in cells])


def _add_list(lines: list[str], outline: Outline) -> None:
    if lines:
        outline.add("list", "\n".join(lines))
        lines.clear()
