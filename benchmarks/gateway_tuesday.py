"""The Tuesday: a batch of 4,000 at nine beside an interactive tenant, on a provider that rejects one call in three.

Every process is its own: provider, batch, people. Fates and latencies hang on request and attempt alone, so they
are the same with and without the batch. `--scale 0.1` is a quick look; the figures that count are at 1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gateway_provider import Provider, provider
from benchmarks.measure import report
from gateway_client.operating import Operator
from gateway_client.store.opening import open_database

CAPACITY, HEADROOM, REJECTED = 80, 4, 1 / 3
BATCH, PEOPLE, RATE = 4000, 1000, 6.0
LATENCY = {"kind": "uniform", "seconds": 3.0, "spread": 1.5}
REJECTION = {"pattern": "hash", "share": REJECTED, "latency": {"seconds": 0.02}}
LATENCY_MOST = 4.5
UNFINISHED = 45
Served = list[dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the calls")
    parser.add_argument("--only", nargs="*", help="parts: people, gates, outage, fairness, litellm")
    options = parser.parse_args()
    parts = {
        "people": lambda p: people(p, options.scale),
        "gates": lambda p: gates(p, options.scale),
        "outage": lambda p: outage(p, options.scale),
        "fairness": lambda p: fairness(p, options.scale),
    }
    with provider(capacity=CAPACITY, first_token=LATENCY, reject=REJECTION, output_tokens=20) as found:
        for name, part in parts.items():
            if not options.only or name in options.only:
                part(found)


def loads(scale: float) -> tuple[dict[str, Any], dict[str, Any]]:
    batch = {"tenant": "A", "lane": "batch", "calls": int(BATCH * scale), "after": 3.0}
    return batch, {
        "tenant": "B",
        "lane": "interactive",
        "calls": int(PEOPLE * scale),
        "rate": RATE,
        "deadline": 120.0,
    }


# -- the parts


def people(found: Provider, scale: float) -> None:
    """B with A over B alone; both over the oracle; attempts; LiteLLM beside them."""
    batch, person = loads(scale)
    alone, _ = measured(found, [[person]])
    together, log = measured(found, [[batch], [person]])
    _ratio_of_p95(of(together, "B"), of(alone, "B"))
    _attempts(together, log)
    _, bound = measured(found, [[batch, person]], module="benchmarks.gateway_oracle")
    _utilisation("no Retry-After", log, bound)
    if python := os.environ.get("HOLDFAST_LITELLM_PYTHON"):
        _beside_litellm(found, python, batch, person, of(together, "B"))


def gates(found: Provider, scale: float) -> None:
    """With Retry-After: the oracle obeys the same gates."""
    settings = {"reject": {**REJECTION, "share": 0.02, "retry_after": 1.0}}
    batch, person = loads(scale)
    found.change(**settings)
    served, log = measured(found, [[batch], [person]], settings=settings)
    _, bound = measured(found, [[batch, person]], module="benchmarks.gateway_oracle", settings=settings)
    _utilisation("Retry-After", log, bound)
    early = _sent_before_gates(log, 1.0)
    report(
        "gateway: sent before a gate opens",
        float(early),
        1.0,
        "0",
        requests=len(log),
        oracle=_sent_before_gates(bound, 1.0),
    )
    report("gateway: served with Retry-After", float(len(ok(served))), float(len(served)), "1")
    found.change(reject=REJECTION)


def outage(found: Provider, scale: float) -> None:
    """Every request fails: attempts over requests."""
    found.change(rules=[{"fault": "status", "status": 503}])
    calls = int(600 * scale)
    person = {"tenant": "B", "lane": "interactive", "calls": calls, "rate": 60.0, "deadline": 20.0}
    served, log = measured(found, [[person]], settings={"rules": [{"fault": "status", "status": 503}]})
    report(
        "gateway: attempts in an outage",
        float(len(log)),
        float(len(served)),
        f"<= {1 + 10 / calls:.4f}",
        burst=10,
    )
    found.change(rules=[])


def fairness(found: Provider, scale: float) -> None:
    """Ten batch tenants of unequal calls, half of them late: tokens served while all are backlogged."""
    each = [_tenant(number, scale) for number in range(10)]
    served, _ = measured(found, [each[:5], each[5:]], settings={"output_tokens": 4000})
    start = max(load["after"] for load in each) + min(one["planned"] for one in served) + LATENCY_MOST
    end = min(_backlogged_until(of(served, load["tenant"])) for load in each)
    tokens = Counter({load["tenant"]: 0 for load in each})
    for one in ok(served):
        if start <= one["ended"] <= end:
            tokens[one["tenant"]] += one["tokens"]
    shares = np.array(list(tokens.values()), dtype=float)
    jain = float(shares.sum() ** 2 / (len(shares) * (shares**2).sum()))
    report(
        "gateway: Jain's index of ten tenants", jain, 1.0, ">= 0.99", seconds=end - start, tokens=int(shares.sum()),
        least=int(shares.min()), most=int(shares.max()), failed=len(served) - len(ok(served)),
    )  # fmt: skip


def _tenant(number: int, scale: float) -> dict[str, Any]:
    """About as many tokens as every other, in calls of 20 to 200 tokens; odd ones come late."""
    tokens = 20 + 20 * number
    calls = int(scale * 13_000 / (tokens + 8)) + UNFINISHED
    return {
        "tenant": f"T{number}", "lane": "batch", "calls": calls, "tokens": tokens, "after": 6.0 * (number % 2),
    }  # fmt: skip


def _backlogged_until(served: Served) -> float:
    """Until a tenant had no more calls waiting than it could have in flight, or between two tries."""
    return float(sorted(one["ended"] for one in served)[-UNFINISHED])


# -- measuring


def measured(
    found: Provider,
    processes: list[list[dict[str, Any]]],
    *,
    module: str = "benchmarks.gateway_load",
    python: str = sys.executable,
    settings: dict[str, Any] | None = None,
) -> tuple[Served, list[dict[str, Any]]]:
    """Run loads in their processes on a fresh store; what each call saw, and what the provider saw."""
    found.change(**(settings or {}))
    with tempfile.TemporaryDirectory(prefix="hf-") as folder:
        store = f"sqlite:///{folder}/gateway.sqlite3"
        _declare(store)
        plans = [
            {"store": store, "provider": found.url, "capacity": CAPACITY, "loads": one} for one in processes
        ]
        running = [_start(python, module, plan) for plan in plans]
        served = _finish(running)
    return served, found.log()


def _declare(store: str) -> None:
    operator = Operator(open_database(store))
    operator.set_pool(
        "first",
        {
            "max_window": CAPACITY,
            "headroom": HEADROOM,
            "batch_minimum": 4,
            "queue_batch": 20_000,
            "batch_max_wait": 3600.0,
        },
    )
    operator.close()


def _start(python: str, module: str, plan: dict[str, Any]) -> subprocess.Popen[str]:
    root = Path(__file__).parents[1]
    ours = python == sys.executable
    target = ["-m", module] if ours else [str(root / (module.replace(".", "/") + ".py"))]
    return subprocess.Popen(
        [python, *target, json.dumps(plan)],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _finish(running: list[subprocess.Popen[str]]) -> Served:
    for process in running:
        assert process.stdout is not None
        while process.stdout.readline().strip() != "ready":
            pass
    began = time.time() + 0.5
    for process in running:
        assert process.stdin is not None
        process.stdin.write(f"{began}\n")
        process.stdin.flush()
    served: Served = []
    for process in running:
        told, _ = process.communicate()
        served += json.loads(told.splitlines()[-1])
    return served


def of(served: Served, tenant: str) -> Served:
    return [one for one in served if one["tenant"] == tenant]


def ok(served: Served) -> Served:
    return [one for one in served if "error" not in one]


def _latencies(served: Served) -> np.ndarray[Any, Any]:
    return np.array(
        [one["ended"] - one["planned"] for one in sorted(ok(served), key=lambda one: one["planned"])]
    )


def _ratio_of_p95(together: Served, alone: Served) -> None:
    """The same calls in both runs: resampled in pairs."""
    a, b = _latencies(together), _latencies(alone)
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


def _attempts(served: Served, log: list[dict[str, Any]]) -> None:
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


def _utilisation(name: str, log: list[dict[str, Any]], bound: list[dict[str, Any]]) -> None:
    ours, oracle = _interior(log), _interior(bound)
    report(f"gateway: served over the oracle's, {name}", ours, oracle, ">= 0.95", unit="answers/s")


def _interior(log: list[dict[str, Any]]) -> float:
    """Answers a second while the provider is saturated: the middle six tenths of all answers."""
    ended = np.sort([one["at"] + one["ended"] for one in log if one["status"] == 200])
    first, last = ended[int(0.2 * len(ended))], ended[int(0.8 * len(ended))]
    return float((0.6 * len(ended)) / (last - first))


def _sent_before_gates(log: list[dict[str, Any]], seconds: float, grace: float = 0.1) -> int:
    """Requests that came while a gate was shut; what was on its way within `grace` seconds could not know."""
    began = np.sort([one["at"] + one["ended"] for one in log if one["retry_after"] is not None])
    at = np.array([one["at"] for one in log])
    early = [bool(np.any((began + grace < moment) & (moment < began + seconds))) for moment in at]
    return int(sum(early))


def _beside_litellm(
    found: Provider, python: str, batch: dict[str, Any], person: dict[str, Any], ours: Served
) -> None:
    served, log = measured(found, [[batch], [person]], module="benchmarks.gateway_litellm", python=python)
    theirs = _latencies(of(served, "B"))
    full = sum(one["refused"] == "capacity" for one in log)
    report(
        "gateway: B's p95, ours over LiteLLM's", float(np.percentile(_latencies(ours), 95)),
        float(np.percentile(theirs, 95)) if len(theirs) else float("inf"), served=len(ok(served)),
        asked=len(served), attempts=len(log), capacity_rejections=full,
    )  # fmt: skip


if __name__ == "__main__":
    main()
