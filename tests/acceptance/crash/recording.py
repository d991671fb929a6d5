"""Crash points: those that the source tree names, and those that a process passes."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from registry import crash_points

ROOT = Path(__file__).parents[3]
ROOMS = ("registry", "retrieval", "canaries", "pipelines", "cli")
_CALL = re.compile(r"\bcrash_point\(\s*(.*?)\s*\)", re.DOTALL)
_LITERAL = re.compile(r'"([a-z]+:[a-z-]+)"')


def declared() -> Counter[str]:
    """Every crash point of the rooms by name, and how often it is written. Fails for one that is no literal."""
    found: Counter[str] = Counter()
    for path in sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        if path.name == "crash_points.py":
            continue
        for argument in _CALL.findall(path.read_text(encoding="utf-8")):
            literal = _LITERAL.fullmatch(argument)
            assert literal, f"{path.relative_to(ROOT)}: crash_point({argument}) is not a literal `room:place`"
            found[literal[1]] += 1
    return found


def replace_crash_point(replacement: Callable[[str], None]) -> None:
    """Put something in the place of `crash_point` in every module of this process."""
    original = crash_points.crash_point
    for module in list(sys.modules.values()):
        if getattr(module, "crash_point", None) is original:
            module.crash_point = replacement  # type: ignore[attr-defined]


def record() -> Counter[str]:
    """From now on, how often each point is passed."""
    passed: Counter[str] = Counter()
    replace_crash_point(lambda name: passed.update([name]))
    return passed


def stop_at(name: str) -> None:
    """From now on, this process stops itself (SIGSTOP) at the first passage of a point."""
    waiting = {name}

    def stop(passed: str) -> None:
        if passed in waiting:
            waiting.remove(passed)
            os.kill(os.getpid(), signal.SIGSTOP)

    replace_crash_point(stop)
