"""Named places between two durable effects, where a test can kill the process to see what survives.

A name is a literal and stands in one place. tests/acceptance/crash finds all of them in the source tree, and
fails for one that no scenario reaches.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

VARIABLE = "HOLDFAST_CRASH_AT"
_passed: Counter[str] = Counter()


def crash_point(name: str) -> None:
    """Kill this process by SIGKILL if HOLDFAST_CRASH_AT names this place; otherwise nothing.

    `name` kills at the first passage, `name#3` at the third.
    """
    wanted, _, passage = os.environ.get(VARIABLE, "").partition("#")
    if wanted != name:
        return
    _passed[name] += 1
    if _passed[name] == int(passage or 1):
        os.kill(os.getpid(), signal.SIGKILL)
