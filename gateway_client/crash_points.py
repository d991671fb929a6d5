"""Named places between two durable effects, where a test can kill the process to see what survives."""

from __future__ import annotations

import os
import signal

VARIABLE = "HOLDFAST_CRASH_AT"
OPERATIONS = ("claim", "admit", "settle", "requeue", "withdraw", "pump", "recover", "finish")
PLACES = ("before", "inside", "after")
AROUND_THE_WIRE = ("gateway.send.before", "gateway.send.after")
CRASH_POINTS = (
    *(f"gateway.{operation}.{place}" for operation in OPERATIONS for place in PLACES),
    *AROUND_THE_WIRE,
)

_passed: dict[str, int] = {}


def crash_point(name: str) -> None:
    """Kill this process by SIGKILL if HOLDFAST_CRASH_AT names this place; `NAME#7` means the seventh time."""
    wanted = os.environ.get(VARIABLE)
    if wanted is None:
        return
    place, _, number = wanted.partition("#")
    if place != name:
        return
    _passed[name] = _passed.get(name, 0) + 1
    if _passed[name] >= int(number or 1):
        os.kill(os.getpid(), signal.SIGKILL)
