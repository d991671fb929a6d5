"""What a registry can store: the flaws of keys, titles and metadata, and a key for what has none."""

from __future__ import annotations

import hashlib
import math
import re

MAX_KEY_BYTES = 1000
MAX_DEPTH = 64
# A key made by `stand_in` ends like this; a document's own key that does is flawed too, so that none collide.
_STAND_IN = re.compile(r"…[0-9a-f]{16}\Z")


def text_flaw(text: str) -> str | None:
    """Why this text cannot be stored as text in every registry, None where it can."""
    if "\x00" in text:
        return "holds a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "is not valid Unicode"
    return None


def key_flaw(key: str) -> str | None:
    """Why this cannot be a document's key, None where it can."""
    if not key:
        return "is empty"
    if flaw := text_flaw(key):
        return flaw
    if len(key.encode()) > MAX_KEY_BYTES:
        return f"is longer than {MAX_KEY_BYTES} bytes"
    return "ends like a key that stands in for another" if _STAND_IN.search(key) else None


def stand_in(key: str, length: int = 200) -> str:
    """A storable text for one that is flawed: escaped, cut to `length` characters, told apart by a digest."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{ascii(key)[:length]}…{digest[:16]}"


def value_flaw(value: object) -> str | None:
    """Why this JSON-able value cannot be stored, None where it can. Looks into objects and lists."""
    pending = [(value, 0)]
    while pending:
        item, depth = pending.pop()
        if depth > MAX_DEPTH:
            return f"nests deeper than {MAX_DEPTH} levels"
        if isinstance(item, str) and (flaw := text_flaw(item)):
            return flaw
        if isinstance(item, float) and not math.isfinite(item):
            return "holds a number that is not finite"
        if isinstance(item, dict):
            pending += [(part, depth + 1) for pair in item.items() for part in pair]
        elif isinstance(item, list):
            pending += [(part, depth + 1) for part in item]
    return None
