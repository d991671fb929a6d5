"""What an API process does every second beside answering, so that no request has to."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

log = logging.getLogger("holdfast.api")

INTERVAL = 1.0
LAST_ROUND = 5.0


class Housekeeping:
    """Runs chores one after another in one thread. A chore that fails is tried again in the next round."""

    def __init__(self, chores: Sequence[Callable[[], None]], interval: float = INTERVAL) -> None:
        self._chores = chores
        self._interval = interval
        self._ending = threading.Event()
        self._failing: set[int] = set()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def begin(self) -> None:
        """Start."""
        self._thread.start()

    def end(self) -> None:
        """Stop after the chore under way, or without it where that takes too long."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(LAST_ROUND)

    def round(self) -> None:
        """Every chore once. A failure is logged when it begins, not every second that it lasts."""
        for number, chore in enumerate(self._chores):
            try:
                chore()
            except Exception:  # the next round tries again, whatever it was
                if number not in self._failing:
                    log.exception("housekeeping fails and is tried again every %s s", self._interval)
                self._failing.add(number)
            else:
                self._failing.discard(number)

    def _run(self) -> None:
        while not self._ending.wait(self._interval):
            self.round()
