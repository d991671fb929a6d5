"""Finds the parser of a document and holds it to the contract: a document or a ParseError, nothing else."""

from __future__ import annotations

import threading
import warnings
from dataclasses import replace

from pipelines.errors import ParseError
from pipelines.parsing.document import ParsedDocument
from pipelines.parsing.formats import Format, format_for
from pipelines.parsing.outline import one_line

MAX_BYTES = 64 * 2**20

# docutils keeps roles in a module's global and warning filters are the process's: one parse at a time.
# Parsing is pure Python under one interpreter lock, so that costs next to nothing.
_one_at_a_time = threading.Lock()


def parse(content: bytes, media_type: str, title: str = "", *, max_bytes: int = MAX_BYTES) -> ParsedDocument:
    """A document's title and sections. A given title goes before the document's own.

    Raises ParseError, saying why, where the content is empty, larger than `max_bytes`, encrypted, corrupt,
    in another encoding than it says, or of a media type that has no parser. Raises MemoryError.
    """
    known = format_for(media_type)
    if known is None:
        raise ParseError(f"has the media type {media_type[:80]!r}, for which there is no parser")
    if len(content) > max_bytes:
        raise ParseError(f"has {len(content):,} bytes, more than the limit of {max_bytes:,}")
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        document = _parse(known, content)
    if not document.sections:
        raise ParseError(f"is empty: it has no text that can be read as {known.name}")
    return replace(document, title=one_line(title) or document.title)


def _parse(known: Format, content: bytes) -> ParsedDocument:
    try:
        return known.parser()(content)
    except (ParseError, MemoryError):
        raise
    except RecursionError as error:
        raise ParseError(f"is nested too deeply to be read as {known.name}") from error
    except Exception as error:
        # A parser library may raise anything at its edge, and one document must never stop the others: the
        # one place where that is caught. Its message may quote the document, so only its type is told.
        raise ParseError(f"cannot be read as {known.name} ({type(error).__name__})") from error
