"""The Tuesday: a batch of 4,000 at nine beside an interactive tenant, on a provider that rejects one call in three.

Every process is its own: provider, batch, people. Fates and latencies hang on request and attempt alone, so they
are the same with and without the batch. `--scale 0.1` is a quick look; the figures that count are at 1.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from typing import Any

import numpy as np

from benchmarks.gateway_figures import attempts, latencies, ratio_of_p95, sent_before_gates, utilisation
from benchmarks.gateway_processes import CAPACITY, Served, measured, of, ok
from benchmarks.gateway_provider import Provider, provider
from benchmarks.measure import report

REJECTED = 1 / 3
BATCH, PEOPLE, RATE = 4000, 1000, 6.0
LATENCY = {"kind": "uniform", "seconds": 3.0, "spread": 1.5}
REJECTION = {"pattern": "hash", "share": REJECTED, "latency": {"seconds": 0.02}}
LATENCY_MOST = 4.5
UNFINISHED = 45


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


def people(found: Provider, scale: float) -> None:
    """B with A over B alone; both over the oracle; attempts; LiteLLM beside them."""
    batch, person = loads(scale)
    alone, _ = measured(found, [[person]])
    together, log = measured(found, [[batch], [person]])
    ratio_of_p95(of(together, "B"), of(alone, "B"))
    attempts(together, log)
    _, bound = measured(found, [[batch, person]], module="benchmarks.gateway_oracle")
    utilisation("no Retry-After", log, bound)
    if python := os.environ.get("HOLDFAST_LITELLM_PYTHON"):
        _beside_litellm(found, python, batch, person, of(together, "B"))


def gates(found: Provider, scale: float) -> None:
    """With Retry-After: the oracle obeys the same gates."""
    settings = {"reject": {**REJECTION, "share": 0.02, "retry_after": 1.0}}
    batch, person = loads(scale)
    found.change(**settings)
    served, log = measured(found, [[batch], [person]], settings=settings)
    _, bound = measured(found, [[batch, person]], module="benchmarks.gateway_oracle", settings=settings)
    utilisation("Retry-After", log, bound)
    early = sent_before_gates(log, 1.0)
    report(
        "gateway: sent before a gate opens",
        float(early),
        1.0,
        "0",
        requests=len(log),
        oracle=sent_before_gates(bound, 1.0),
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


def _beside_litellm(
    found: Provider, python: str, batch: dict[str, Any], person: dict[str, Any], ours: Served
) -> None:
    served, log = measured(found, [[batch], [person]], module="benchmarks.gateway_litellm", python=python)
    theirs = latencies(of(served, "B"))
    full = sum(one["refused"] == "capacity" for one in log)
    report(
        "gateway: B's p95, ours over LiteLLM's", float(np.percentile(latencies(ours), 95)),
        float(np.percentile(theirs, 95)) if len(theirs) else float("inf"), served=len(ok(served)),
        asked=len(served), attempts=len(log), capacity_rejections=full,
    )  # fmt: skip


if __name__ == "__main__":
    main()
