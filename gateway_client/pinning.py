"""Whether a model's name is one exact version, or floats: means another model next month.

Sources: OpenAI names snapshots `-YYYY-MM-DD` (earlier `-MMDD`) and lets the bare name move; Anthropic's names
before the 4.6 generation are exact with `-YYYYMMDD` only, those from 4.6 on are exact without a date
(platform.claude.com, "Model IDs and versioning").
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_FLOATING = re.compile(r"(^|[-:@/.])(latest|auto|default|current|stable)$", re.IGNORECASE)
_DATE = re.compile(r"[-@](\d{8}|\d{4}-\d{2}-\d{2}|\d{4}(-preview)?)([-:]v\d+(:\d+)?)?$")
_OPENAI = re.compile(r"(^|/)(gpt-\d+(\.\d+)?o?|o\d+)(-[a-z]+)*$")
_CLAUDE = re.compile(r"(^|[/.])claude-(?:[a-z]+-)?(\d+)(?:[-.](\d{1,2})(?!\d))?")
_FIRST_UNDATED_CLAUDE = (4, 6)


def why_floating(version: str, others: Iterable[str] = ()) -> str | None:
    """Why a name is no exact version, in words; None where it is one.

    `others` are further names known to exist: a name that is the start of a dated one floats.
    """
    if _FLOATING.search(version):
        return "it names whatever is newest"
    if _DATE.search(version):
        return None
    if _OPENAI.search(version) or _moving_claude(version):
        return "names with a date exist, and this one moves between them"
    dated = next(
        (name for name in others if name.startswith(version) and _DATE.match(name[len(version) :])), None
    )
    return f"{dated!r} exists, so this one moves" if dated else None


def _moving_claude(version: str) -> bool:
    found = _CLAUDE.search(version)
    if found is None:
        return False
    return (int(found[2]), int(found[3] or 0)) < _FIRST_UNDATED_CLAUDE
