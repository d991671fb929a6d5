"""Progress as lines of a run's log: a stage's size, then each tenth of it."""

from __future__ import annotations

from collections.abc import Callable


class LoggedProgress:
    """Writes at most eleven lines a stage."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._totals: dict[str, int] = {}
        self._done: dict[str, int] = {}

    def begin(self, stage: str, total: int) -> None:
        self._totals[stage], self._done[stage] = total, 0
        self._write(f"{stage}: {total} to do")

    def advance(self, stage: str, by: int = 1) -> None:
        total, before = self._totals[stage], self._done[stage]
        self._done[stage] = before + by
        if total and before * 10 // total != (before + by) * 10 // total:
            self._write(f"{stage}: {before + by} of {total}")
