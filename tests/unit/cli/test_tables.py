"""Tables on narrow terminals."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cli.formatting import table
from cli.tables import FittedTable, Heading

WORDS = st.text(alphabet="abcdef-", min_size=1, max_size=12)


def printed(made: FittedTable, width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, highlight=False).print(made)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_columns_are_marked() -> None:
    assert Heading.of("name") == Heading("name")
    assert Heading.of("#docs") == Heading("docs", number=True)
    assert Heading.of("~error") == Heading("error", text=True)
    assert Heading.of("?#bytes") == Heading("bytes", number=True, optional=True)
    assert Heading.of("") == Heading("")


def test_a_wide_terminal_shows_all() -> None:
    made = table(("name", "#n", "?owner"), [("a", 1, "somebody")])
    assert printed(made, 80) == ["name  n  owner", "a     1  somebody"]


def test_what_is_optional_gives_way_from_the_right_and_is_named() -> None:
    made = table(("name", "?first", "#n", "?second"), [("northwind-rail", "one", 1, "x" * 20)])
    assert printed(made, 30) == [
        "name            first  n",
        "northwind-rail  one    1",
        "(--json, or a wider window,",
        "has second as well)",
    ]
    assert printed(made, 20)[:2] == ["name            n", "northwind-rail  1"]


def test_free_text_wraps_and_nothing_else_is_broken() -> None:
    made = table(
        ("id", "~why", "when"), [("northwind-rail", "because of a very long story", "2026-01-01 12:00")]
    )
    lines = printed(made, 56)
    assert lines[1].startswith("northwind-rail  because of a")
    assert lines[1].endswith("2026-01-01 12:00")
    assert len(lines) == 3


def test_what_does_not_fit_at_all_folds_and_is_not_cut() -> None:
    lines = printed(table(("name",), [("x" * 30,)]), 10)
    assert "".join(lines[1:]) == "x" * 30


def test_markup_in_a_value_is_no_markup() -> None:
    assert printed(table(("name",), [("[bold]x",)]), 40)[1] == "[bold]x"


@pytest.mark.filterwarnings("error")
@given(st.lists(st.tuples(WORDS, WORDS, st.integers(0, 10**6), WORDS), max_size=4), st.integers(45, 120))
def test_no_line_is_wider_than_the_terminal_and_no_name_is_broken(
    rows: list[tuple[str, str, int, str]], width: int
) -> None:
    lines = printed(table(("first", "second", "#n", "?third"), rows), width)
    assert all(len(line) <= width for line in lines)
    for first, second, number, _ in rows:
        assert any(first in line and second in line and f"{number:,}" in line for line in lines)
