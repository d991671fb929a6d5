"""Tables that fit a terminal: free text wraps, what is secondary is left out, names and numbers stay whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

GAP = 2
# A column of free text can be read from the first width on; for the second, optional columns give way.
LEAST_TEXT, GOOD_TEXT = 18, 32


@dataclass(frozen=True, slots=True)
class Heading:
    """A column. Numbers are to the right, free text wraps, optional ones give way where the screen is narrow."""

    name: str
    number: bool = False
    text: bool = False
    optional: bool = False

    @classmethod
    def of(cls, marked: str) -> Heading:
        """`#name` is a column of numbers, `~name` of free text; a `?` before either makes it optional."""
        rest = marked.removeprefix("?")
        return cls(rest.lstrip("#~"), rest.startswith("#"), rest.startswith("~"), marked.startswith("?"))


class FittedTable:
    """A plain table that leaves out its last optional columns until the rest fits, and says so."""

    def __init__(self, headings: Sequence[Heading], rows: Sequence[Sequence[Any]], caption: str = "") -> None:
        self._headings, self._rows, self._caption = headings, rows, caption

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown = list(range(len(self._headings)))
        widths = [self._width(console, options, index) for index in shown]
        room = options.max_width
        while self._needed(shown, widths, GOOD_TEXT) > room:
            last = next((index for index in reversed(shown) if self._headings[index].optional), None)
            if last is None:
                break
            shown.remove(last)
        yield self._table(shown, whole=self._needed(shown, widths, LEAST_TEXT) <= room)
        left_out = [heading.name for index, heading in enumerate(self._headings) if index not in shown]
        if left_out:
            yield Text(f"(--json, or a wider window, has {', '.join(left_out)} as well)", style="dim")

    def _width(self, console: Console, options: ConsoleOptions, index: int) -> int:
        """The width of a column that nothing presses."""
        cells = [self._headings[index].name, *(row[index] for row in self._rows)]
        free = options.update(max_width=1000)
        return max(console.measure(cell, options=free).maximum for cell in cells)

    def _needed(self, shown: Sequence[int], widths: Sequence[int], text: int) -> int:
        """What these columns take, if free text is given so much at most."""
        taken = (min(widths[i], text) if self._headings[i].text else widths[i] for i in shown)
        return sum(taken) + GAP * (len(shown) - 1)

    def _table(self, shown: Sequence[int], *, whole: bool) -> Table:
        """With `whole`, nothing but free text is ever broken."""
        made = Table(
            box=None, header_style="bold", pad_edge=False, padding=(0, GAP, 0, 0),
            caption=self._caption or None, caption_justify="left", caption_style="dim",
        )  # fmt: skip
        for index in shown:
            heading = self._headings[index]
            made.add_column(
                heading.name,
                justify="right" if heading.number else "left",
                overflow="fold",
                no_wrap=heading.number or (whole and not heading.text),
            )
        for row in self._rows:
            made.add_row(*(row[index] for index in shown))
        return made
