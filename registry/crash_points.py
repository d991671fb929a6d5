"""Named places between two durable effects, where a test can kill the process to see what survives."""

from __future__ import annotations

import os
import signal

VARIABLE = "HOLDFAST_CRASH_AT"


def crash_point(name: str) -> None:
    """Kill this process by SIGKILL if HOLDFAST_CRASH_AT names this place; otherwise nothing."""
    if os.environ.get(VARIABLE) == name:
        os.kill(os.getpid(), signal.SIGKILL)
