"""Finds where sentences end, well enough to cut there: a missed end costs little, and so does a false one."""

from __future__ import annotations

import re
from collections.abc import Iterator

_END = re.compile(r"[.!?\u2026][\"')\]\u201d\u2019\u00bb]{0,3}(?P<gap>\s+)|[\u3002\uff01\uff1f](?P<none>)")
# fmt: off
_ABBREVIATIONS = frozenset(
    {
        "e.g.", "i.e.", "al.", "fig.", "figs.", "eq.", "eqs.", "ref.", "refs.", "vs.", "cf.", "ca.",
        "approx.", "resp.", "dr.", "mr.", "mrs.", "ms.", "prof.", "st.", "no.", "vol.", "pp.", "p.",
        "sec.", "ch.", "ed.", "eds.", "viz.", "sp.", "spp.", "var.", "subsp.",
    }
)
# fmt: on
_LONGEST_ABBREVIATION = 8
# Shorter ones ("1.", "Yes!") stay with what follows.
_SHORTEST = 20


def sentences(text: str) -> Iterator[tuple[str, str]]:
    """Separator and text of each sentence; what they leave out of the text is whitespace."""
    start = 0
    separator = ""
    for match in _END.finditer(text):
        end = match.start(match.lastgroup or 0)
        if end - start < _SHORTEST or match.end() == len(text) or not _is_end(text, match):
            continue
        yield separator, text[start:end]
        separator, start = _normal(text[end : match.end()]), match.end()
    if start < len(text):
        yield separator, text[start:]


def _is_end(text: str, match: re.Match[str]) -> bool:
    """Not before a lower-case letter, and not after an abbreviation or an initial."""
    if text[match.end()].islower():
        return False
    if text[match.start()] != ".":
        return True
    before = text[max(0, match.start() - _LONGEST_ABBREVIATION) : match.start() + 1].rsplit(None, 1)[-1]
    word = before.lstrip("(['\"").lower()
    return word not in _ABBREVIATIONS and not (len(word) == 2 and word[0].isalpha())


def _normal(gap: str) -> str:
    newlines = gap.count("\n")
    if newlines > 1:
        return "\n\n"
    return "\n" if newlines else " " if gap else ""
