"""Bytes of a document in, its titled sections out. Importing this imports no parser library."""

from pipelines.parsing.dispatch import MAX_BYTES, parse
from pipelines.parsing.document import Block, BlockKind, ParsedDocument, Section
from pipelines.parsing.formats import media_type_for
from pipelines.parsing.version import PARSER_VERSION

__all__ = [
    "MAX_BYTES",
    "PARSER_VERSION",
    "Block",
    "BlockKind",
    "ParsedDocument",
    "Section",
    "media_type_for",
    "parse",
]
