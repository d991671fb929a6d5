"""Values as people read them: times, sizes, counts, addresses without their passwords."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cli.tables import FittedTable, Heading

if TYPE_CHECKING:
    from registry.builds import Build

STATUS_STYLES = {
    "live": "green",
    "active": "green",
    "published": "green",
    "passed": "green",
    "green": "green",
    "healthy": "green",
    "retained": "cyan",
    "unchanged": "cyan",
    "retired": "dim",
    "hidden": "dim",
    "revoked": "dim",
    "expired": "dim",
    "stale": "yellow",
    "waiting": "yellow",
    "retrying": "yellow",
    "unset": "yellow",
    "dropped": "dim",
    "held": "yellow",
    "suspended": "yellow",
    "unguarded": "yellow",
    "unpublished": "yellow",
    "yellow": "yellow",
    "rejected": "red",
    "failed": "red",
    "failing": "red",
    "quarantined": "red",
    "red": "red",
}
_PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):([^/@\s]+)@")


def status(word: str) -> Text:
    """A status in its colour."""
    return Text(word, style=STATUS_STYLES.get(word, ""))


def when(moment: datetime | None) -> str:
    """A time to the minute, UTC."""
    return f"{moment:%Y-%m-%d %H:%M}" if moment else "-"


def span(seconds: float) -> str:
    """A duration in its largest fitting unit."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def size(count: float) -> str:
    """A number of bytes."""
    for unit in ("B", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def build_progress(build: Build) -> str:
    """How far a build is, in one line."""
    stage = f"{build.stage} {build.done:,} of {build.done + build.left:,}" if build.stage else "begun"
    if not build.running:
        return f"{stage}, then cut off: the next ingest goes on from there"
    if build.rate is None or build.eta_seconds is None:
        return f"{stage}, since {build.started_at:%H:%M} UTC"
    return f"{stage}, {build.rate:,.1f} a second, {span(build.eta_seconds)} left"


def plural(count: int, noun: str) -> str:
    """`1 document`, `2 documents`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def without_password(uri: str) -> str:
    """An address that may be shown: what stands between user and host is masked."""
    return _PASSWORD.sub(r"\1:***@", uri)


def short(position: str, length: int = 12) -> str:
    """A position to recognise: a commit id's beginning, anything else as it is."""
    return position[:length] if re.fullmatch(r"[0-9a-f]{40,64}", position) else position


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> FittedTable:
    """A plain table that fits the terminal. Columns are marked as `Heading.of` says: `#`, `~`, `?`."""
    cells = [[_cell(value) for value in row] for row in rows]
    return FittedTable([Heading.of(column) for column in columns], cells, caption)


def facts(pairs: Iterable[tuple[str, Any]]) -> Table:
    """Names and values, one pair a line."""
    made = Table(box=None, show_header=False, pad_edge=False)
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs:
        made.add_row(name, _cell(value))
    return made


def _cell(value: Any) -> Any:  # noqa: ANN401 - whatever can be shown
    if value is None or value == "":
        return "-"
    if isinstance(value, datetime):
        return when(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return escape(value) if isinstance(value, str) else value
