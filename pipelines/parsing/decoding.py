"""From bytes to text, refusing what is not text instead of guessing."""

from __future__ import annotations

import codecs
import re

from pipelines.errors import ParseError

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

# Only charsets that the web knows: Python's own list has codecs that are no charsets, some of them quadratic.
_WEB_CHARSETS = re.compile(
    r"utf-?8|us-ascii|ascii|latin-?1|iso-?8859-?\d{1,2}|(windows|cp)-?125\d|koi8-[ru]|macintosh|"
    r"shift[-_]?jis|euc-(jp|kr)|gb2312|gbk|gb18030|big5|iso-2022-jp",
)


def decode(content: bytes, declared: str | None = None) -> str:
    """The text of a document, newlines as '\\n' and without its byte order mark.

    `declared` is a charset that the document itself names; a byte order mark goes before it, and UTF-8 is
    assumed where there is neither. Raises ParseError where the bytes are not text in that charset.
    """
    charset, body = _charset_and_body(content, declared)
    try:
        text = body.decode(charset)
    except UnicodeDecodeError as error:
        offset = error.start + len(content) - len(body)
        raise ParseError(
            f"is not {charset.upper()} text: byte offset {offset} cannot be decoded; save it as UTF-8"
        ) from error
    position = text.find("\x00")
    if position >= 0:
        raise ParseError(f"is binary, not text: NUL at character {position}")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _charset_and_body(content: bytes, declared: str | None) -> tuple[str, bytes]:
    for mark, charset in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return charset, content[len(mark) :]
    if declared is None:
        return "utf-8", content
    name = declared.strip().lower()
    if not _WEB_CHARSETS.fullmatch(name):
        raise ParseError(f"declares the unknown charset {name[:40]!r}; save it as UTF-8")
    if name in {"macintosh"}:
        name = "mac-roman"
    try:
        return codecs.lookup(name).name, content
    except LookupError as error:
        raise ParseError(f"declares the unknown charset {name[:40]!r}; save it as UTF-8") from error
