"""PDF: the text layer, page by page. Scanned pages have none and are not read."""

from __future__ import annotations

import io
import logging

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from pipelines.errors import ParseError
from pipelines.parsing.document import ParsedDocument
from pipelines.parsing.outline import Outline
from pipelines.parsing.plain import paragraphs

# pypdf logs each oddity of a file, and quotes it. A file that cannot be read raises, which is enough.
logging.getLogger("pypdf").setLevel(logging.CRITICAL + 1)


def parse_content(content: bytes) -> ParsedDocument:
    """Parse a PDF. Raises ParseError where it is encrypted with a password or corrupt."""
    try:
        reader = PdfReader(io.BytesIO(content))
    except (PyPdfError, ValueError, OSError) as error:
        raise ParseError("is a corrupt PDF, or none: it cannot be opened") from error
    if reader.is_encrypted:
        _unlock(reader)
    outline = Outline()
    for page in reader.pages:
        for paragraph in paragraphs(page.extract_text()):
            outline.add("paragraph", paragraph)
    return outline.document(_title(reader))


def _unlock(reader: PdfReader) -> None:
    """Many PDFs are encrypted with the empty password only, which keeps nobody from reading them."""
    try:
        unlocked = bool(reader.decrypt(""))
    except Exception as error:
        # Beside its own errors pypdf raises DependencyError, NotImplementedError and the cipher library's.
        raise ParseError("is encrypted in a way that cannot be read; store it without encryption") from error
    if not unlocked:
        raise ParseError("is encrypted: it needs a password; store it without one")


def _title(reader: PdfReader) -> str:
    try:
        title = reader.metadata.title if reader.metadata else None
    except Exception:
        # A broken information dictionary must not cost the text of the pages; pypdf raises anything here.
        return ""
    return title if isinstance(title, str) else ""
