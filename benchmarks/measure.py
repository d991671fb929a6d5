"""What the benchmarks share: interleaved timing, percentiles, one way to print a ratio."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def interleaved(
    ours: Callable[[int], object], bound: Callable[[int], object], rounds: int
) -> tuple[list[float], list[float]]:
    """Times of both, taken in turn, so that the machine's moods hit both alike."""
    a: list[float] = []
    b: list[float] = []
    for i in range(rounds):
        first, second = ((ours, a), (bound, b)) if i % 2 else ((bound, b), (ours, a))
        for work, times in (first, second):
            times.append(seconds(lambda work=work, i=i: work(i)))
    return a, b


def report(name: str, ours: float, bound: float, aim: str = "", **more: float | int | str) -> None:
    """One line of JSON: the ratio first, then what it was made of."""
    line = {
        "benchmark": name,
        "ratio": round(ours / bound, 4),
        "aim": aim,
        "ours": ours,
        "bound": bound,
        **more,
    }
    print(
        json.dumps({k: round(v, 6) if isinstance(v, float) else v for k, v in line.items() if v != ""}),
        flush=True,
    )


def median(times: Sequence[float]) -> float:
    return statistics.median(times)


def p99(times: Sequence[float]) -> float:
    return float(np.percentile(times, 99))
