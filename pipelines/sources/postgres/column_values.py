"""What a column's value means: text as PostgreSQL writes it, turned into content, titles and JSON values."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

import psycopg
from psycopg.adapt import Transformer
from psycopg.pq import Format

BYTEA = 17
BPCHAR = 1042
# Of these (and of arrays of them) the loaded value is JSON, or nearly; any other type's text says it best.
_LOADED = frozenset({16, 20, 21, 23, 26, 114, 700, 701, 1700, 3802}) | frozenset(
    {199, 1000, 1005, 1007, 1016, 1021, 1022, 1231, 1009, 1015, 1002, 1014, 3807}
)
# More cannot be written as JSON (CPython's limit for a number's text).
MAX_DIGITS = 4300


def text(value: bytes | None) -> str:
    """As a string; bytes that are not UTF-8 are surrogate-escaped."""
    return "" if value is None else value.decode("utf-8", "surrogateescape")


def content(value: bytes | None, type_oid: int) -> bytes:
    """As a document's bytes: those of a bytea, the text of anything else."""
    if value is None:
        return b""
    if type_oid == BYTEA and value.startswith(b"\\x"):
        return bytes.fromhex(value[2:].decode("ascii"))
    return value


def json_value(value: bytes | None, type_oid: int) -> object:
    """As metadata: numbers, booleans, JSON and arrays of them as such, any other type as its text.

    A numeric is a whole number where it is one, else a float; what is not finite, or has more than
    MAX_DIGITS digits, stays text.
    """
    if value is None:
        return None
    if type_oid in _LOADED:
        try:
            return _jsonable(_loader(type_oid)(value))
        except (psycopg.Error, ValueError, OverflowError):
            pass  # its text still says what it is
    return text(value)


@lru_cache(maxsize=64)
def _loader(type_oid: int) -> Any:  # noqa: ANN401 - psycopg's loaders give what their type is
    return Transformer().get_loader(type_oid, Format.TEXT).load


def _jsonable(value: Any) -> object:  # noqa: ANN401 - see above
    if isinstance(value, list):
        return [_jsonable(one) for one in value]
    if isinstance(value, Decimal):
        if not value.is_finite():
            return str(value)
        if value.adjusted() >= MAX_DIGITS:
            raise OverflowError(value.adjusted())
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, date | datetime | timedelta):
        return str(value)
    return value
