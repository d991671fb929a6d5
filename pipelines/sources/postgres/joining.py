"""How sections find their page and their place: which columns can say so, and what of a value counts."""

from __future__ import annotations

from decimal import Decimal

from pipelines.errors import SourceError
from pipelines.sources.options import PostgresOptions
from pipelines.sources.postgres.layout import TableLayout, reference_column
from pipelines.sources.postgres.packed_values import digest

# Types of one kind are joined whatever they are called: by value, and text as it is written.
_EXACT = frozenset({20, 21, 23, 26, 1700})
_TEXTS = frozenset({19, 25, 1042, 1043})
_NUMBERS = _EXACT | {700, 701}
# boolean, bytea, date, time, timestamp, timestamptz, uuid: PostgreSQL writes them so that bytes sort as they do.
_SORTED_AS_WRITTEN = _TEXTS | {16, 17, 1082, 1083, 1114, 1184, 2950}


def check_sections(page: TableLayout, section: TableLayout, options: PostgresOptions) -> None:
    """Raises SourceError where sections could not be joined to their pages, or put in order, as SQL would."""
    assert options.child_parent is not None
    assert options.child_order is not None
    reference = reference_column(options)
    if not _alike(section.type_of(options.child_parent), page.type_of(reference)):
        raise SourceError(
            f"column {options.child_parent!r} of table {section.spelled} and column {reference!r} of table "
            f"{page.spelled} have types that are not compared as they are written: give them one type"
        )
    if section.type_of(options.child_order) not in _NUMBERS | _SORTED_AS_WRITTEN:
        raise SourceError(
            f"column {options.child_order!r} of table {section.spelled} has a type whose order is not known "
            "here: child_order takes a number, a text, a date or time, a boolean, a uuid or a bytea"
        )


def link(value: bytes | None, type_oid: int) -> str:
    """What joins sections to a page: equal where the values are. Empty for NULL, which joins nothing."""
    if value is None:
        return ""
    if type_oid in _EXACT and b"." in value:
        value = value.rstrip(b"0").rstrip(b".")
    return digest([value])


def order(value: bytes | None, type_oid: int) -> tuple[int, Decimal, bytes]:
    """Sorts as the column does, a text by its bytes; NULL comes last."""
    if value is None:
        return (3, Decimal(0), b"")
    if type_oid in _NUMBERS:
        number = Decimal(value.decode("ascii"))
        return (2, Decimal(0), b"") if number.is_nan() else (0, number, b"")
    return (1, Decimal(0), value)


def _alike(one: int, other: int) -> bool:
    return one == other or {one, other} <= _EXACT or {one, other} <= _TEXTS
