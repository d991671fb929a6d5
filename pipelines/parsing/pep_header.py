"""The header of a Python Enhancement Proposal (PEP 1, PEP 12): RFC 2822 fields that start with its number."""

from __future__ import annotations

import re
from email.parser import HeaderParser

_PEP = re.compile(r"\s*PEP:[ \t]*(\d+)[ \t]*\n")


def has_pep_header(text: str) -> bool:
    """Whether the text is a PEP by its first field."""
    return _PEP.match(text) is not None


def pep_title(text: str) -> str:
    """'PEP 8 – Style Guide for Python Code', as peps.python.org shows it; '' where the text is no PEP."""  # noqa: RUF002
    number = _PEP.match(text)
    if number is None:
        return ""
    header = text.lstrip()[:20_000].partition("\n\n")[0]
    title = " ".join(str(HeaderParser().parsestr(header).get("Title", "")).split())
    return f"PEP {number[1]} – {title}" if title else f"PEP {number[1]}"  # noqa: RUF001 (as published)
