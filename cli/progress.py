"""How far an ingestion is, on a terminal: a bar per stage; elsewhere a few lines on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from cli.output import side_console
from pipelines.build.progress import Progress

LINE_EVERY = 10.0
FIRST, LAST = "capture", "checks"
LAST_MEASURED = "index"


class SpeedColumn(ProgressColumn):
    """Units a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed and not task.finished else "", style="dim")


class BarProgress:
    """A `Progress` of bars. What has no size (capturing, checking) pulses."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._totals: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._pulse(FIRST)

    def begin(self, stage: str, total: int, ready: int = 0) -> None:
        self._finish(FIRST)
        self._tasks[stage] = self._bars.add_task(stage, total=max(total, 1))
        self._totals[stage], self._done[stage] = total, 0
        if not total:
            self._bars.update(self._tasks[stage], total=1, completed=1)
            self._begin_checks(stage)

    def advance(self, stage: str, by: int = 1) -> None:
        self._done[stage] += by
        self._bars.advance(self._tasks[stage], by)
        if self._done[stage] >= self._totals[stage]:
            self._begin_checks(stage)

    def _begin_checks(self, stage: str) -> None:
        if stage == LAST_MEASURED and LAST not in self._tasks:
            self._pulse(LAST)

    def _pulse(self, stage: str) -> None:
        self._tasks[stage] = self._bars.add_task(stage, total=None)

    def _finish(self, stage: str) -> None:
        self._bars.update(self._tasks[stage], total=1, completed=1)

    def close(self) -> None:
        """Fill what still pulses."""
        for stage in (FIRST, LAST):
            if stage in self._tasks:
                self._finish(stage)


class LineProgress:
    """Where no terminal shows bars: a line a stage, and of a long stage one every ten seconds."""

    def __init__(self, title: str, timer: Callable[[], float] = time.monotonic) -> None:
        self._title = title
        self._timer = timer
        self._began = self._told = 0.0
        self._total = self._done = 0

    def begin(self, stage: str, total: int, ready: int = 0) -> None:
        self._began = self._told = self._timer()
        self._total, self._done = total, 0
        before = f", {ready} done before" if ready else ""
        sys.stderr.write(f"{self._title}: {stage}, {total} to do{before}\n")

    def advance(self, stage: str, by: int = 1) -> None:
        self._done += by
        now = self._timer()
        if now - self._told >= LINE_EVERY:
            self._told = now
            rate = self._done / (now - self._began)
            left = (self._total - self._done) / rate
            sys.stderr.write(
                f"{self._title}: {stage}, {self._done} of {self._total}, {rate:.1f} a second, {left:.0f} s left\n"
            )


@contextmanager
def shown_progress(title: str) -> Iterator[Progress]:
    """Progress for people: bars that vanish when done, or lines where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield LineProgress(title)
        return
    columns = (
        TextColumn("[bold]{task.description:<11}"),
        BarColumn(),
        MofNCompleteColumn(),
        SpeedColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=side_console(), transient=True) as bars:
        progress = BarProgress(bars)
        try:
            yield progress
        finally:
            progress.close()
