"""Positions in a PostgreSQL server's log (WAL): byte offsets, written so that text sorts as they do."""

from __future__ import annotations

import re

from pipelines.errors import SourceError

_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")


def lsn_text(lsn: int) -> str:
    """PostgreSQL's notation with leading zeros, which it reads as well: `00000000/0171D4B8`."""
    return f"{lsn >> 32:08X}/{lsn & 0xFFFFFFFF:08X}"


def lsn_of(text: str) -> int:
    """The offset that a position names. Raises SourceError where it is none."""
    match = _LSN.fullmatch(text)
    if match is None:
        raise SourceError(f"{text!r} is not a position in a PostgreSQL server's log")
    return int(match[1], 16) << 32 | int(match[2], 16)
