"""What the Tuesday's calls and the provider's log come to, each figure beside its aim."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.gateway_processes import Served, ok
from benchmarks.measure import report


def latencies(served: Served) -> np.ndarray[Any, Any]:
    return np.array(
        [one["ended"] - one["planned"] for one in sorted(ok(served), key=lambda one: one["planned"])]
    )


def ratio_of_p95(together: Served, alone: Served) -> None:
    """The same calls in both runs: resampled in pairs."""
    a, b = latencies(together), latencies(alone)
    draw = np.random.default_rng(5)
    size = min(len(a), len(b))
    picks = draw.integers(0, size, (2000, size))
    ratios = np.percentile(a[:size][picks], 95, axis=1) / np.percentile(b[:size][picks], 95, axis=1)
    low, high = np.percentile(ratios, [2.5, 97.5])
    report(
        "gateway: B's p95 with A over without", float(np.percentile(a, 95)), float(np.percentile(b, 95)), "<= 1.10",
        low=float(low), high=float(high), calls=size, failed=len(together) - len(a), p50=float(np.median(a)),
        p50_alone=float(np.median(b)),
    )  # fmt: skip


def attempts(served: Served, log: list[dict[str, Any]]) -> None:
    full = [one for one in log if one["refused"] == "capacity"]
    pattern = [one for one in log if one["refused"] == "pattern"]
    share = len(pattern) / max(1, len(log) - len(full))
    report("gateway: served", float(len(ok(served))), float(len(served)), "1")
    report(
        "gateway: attempts over N/(1-rejected)",
        float(len(log)),
        len(served) / (1 - share),
        "<= 1.02",
        share=share,
    )
    report("gateway: rejections by our own excess", float(len(full)), float(len(log)), "<= 0.01")


def utilisation(name: str, log: list[dict[str, Any]], bound: list[dict[str, Any]]) -> None:
    ours, oracle = _interior(log), _interior(bound)
    report(f"gateway: served over the oracle's, {name}", ours, oracle, ">= 0.95", unit="answers/s")


def _interior(log: list[dict[str, Any]]) -> float:
    """Answers a second while the provider is saturated: the middle six tenths of all answers."""
    ended = np.sort([one["at"] + one["ended"] for one in log if one["status"] == 200])
    first, last = ended[int(0.2 * len(ended))], ended[int(0.8 * len(ended))]
    return float((0.6 * len(ended)) / (last - first))


def sent_before_gates(log: list[dict[str, Any]], seconds: float, grace: float = 0.1) -> int:
    """Requests that came while a gate was shut; what was on its way within `grace` seconds could not know."""
    began = np.sort([one["at"] + one["ended"] for one in log if one["retry_after"] is not None])
    at = np.array([one["at"] for one in log])
    early = [bool(np.any((began + grace < moment) & (moment < began + seconds))) for moment in at]
    return int(sum(early))
