"""Progress of a run where Dagster shows it: lines of the log, and numbers of a long build while it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable

OBSERVED_EVERY = 10.0

Observe = Callable[[str, dict[str, float]], object]


class LoggedProgress:
    """Writes a stage's size and each tenth of it: at most eleven lines a stage.

    A stage that takes longer than `OBSERVED_EVERY` seconds is also observed at its tenths: stage, and
    {done, left, per_second, eta_seconds}.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        observe: Observe | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._observe = observe
        self._timer = timer
        self._totals: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._ready = 0
        self._began = self._observed = 0.0

    def begin(self, stage: str, total: int, ready: int = 0) -> None:
        self._totals[stage], self._done[stage], self._ready = total, 0, ready
        self._began = self._observed = self._timer()
        before = f", {ready} done before" if ready else ""
        self._write(f"{stage}: {total} to do{before}")

    def advance(self, stage: str, by: int = 1) -> None:
        total, before = self._totals[stage], self._done[stage]
        done = self._done[stage] = before + by
        if total and before * 10 // total != done * 10 // total:
            self._tell(stage, done, total)

    def _tell(self, stage: str, done: int, total: int) -> None:
        now = self._timer()
        rate = done / max(now - self._began, 1e-9)
        eta = (total - done) / rate
        self._write(f"{stage}: {done} of {total}, {rate:.1f} a second, {eta:.0f} s left")
        if self._observe is not None and now - self._observed >= OBSERVED_EVERY:
            self._observed = now
            self._observe(
                stage,
                {"done": self._ready + done, "left": total - done, "per_second": rate, "eta_seconds": eta},
            )
