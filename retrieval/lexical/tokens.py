r"""Text to tokens: NFKC, case folding, \w+ words, and character bigrams where a script has no spaces.

`re` does not count combining marks as word characters, which would cut Hindi or decomposed Greek words at
every vowel sign: the word class here adds the marks of the Basic Multilingual Plane.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# Thai, Lao, Myanmar, Khmer; Hangul jamo; CJK radicals to compatibility Hangul; ideographs; Hangul syllables.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1100-\u11ff\u2e80-\u2fdf\u3040-\u318f\u31a0-\u31bf"
_UNSPACED += "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff"
_UNSPACED += "\U0001b000-\U0001b16f\U00020000-\U0003ffff"


def _combining_marks() -> str:
    """Every mark (Mn, Mc) of the Basic Multilingual Plane, as the inside of a character class."""
    marks = [code for code in range(0x300, 0x10000) if unicodedata.category(chr(code)) in ("Mn", "Mc")]
    ranges: list[tuple[int, int]] = []
    for code in marks:
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], code)
        else:
            ranges.append((code, code))
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


_WORD = rf"[\w{_combining_marks()}]"
_TOKEN = re.compile(rf"(?P<unspaced>(?:(?=[{_UNSPACED}]){_WORD})+)|(?:(?![{_UNSPACED}]){_WORD})+")


def tokens(text: str) -> Iterator[str]:
    """The tokens of a text in reading order. A run of a script without spaces yields its bigrams."""
    for match in _TOKEN.finditer(unicodedata.normalize("NFKC", text).casefold()):
        token = match.group()
        if match.lastgroup is None:
            if token.strip("_"):
                yield token
        elif len(token) == 1:
            yield token
        else:
            yield from (token[start : start + 2] for start in range(len(token) - 1))
