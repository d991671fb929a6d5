"""What the client costs beside bare httpx: both called in random order, open loop, by one process and by four.

With HOLDFAST_LITELLM_PYTHON, a Python that has LiteLLM, its Router is called in the same way: plain, and with limits
and a budget of its own. Times are of whole calls to a provider that answers at once, so that what is measured is the
client; the loop's lag is that of a 5 ms tick.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gateway_load import MODELS
from benchmarks.gateway_pairs import MAX_TOKENS, MESSAGES, pairs
from benchmarks.gateway_provider import provider
from benchmarks.measure import report
from gateway_client.catalogue import Catalogue
from gateway_client.client import GatewayClient
from gateway_client.settings import GatewaySettings

ROOT = Path(__file__).parents[1]
OURS = [sys.executable, "-m", "benchmarks.gateway_overhead", "--worker"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1000, help="calls of each kind and process")
    parser.add_argument("--rate", type=float, default=25.0, help="calls a second and process")
    options = parser.parse_args()
    with provider(output_tokens=20) as found:
        for processes in (1, 4):
            _measure(found.url, processes, options.calls, options.rate)


def _measure(url: str, processes: int, calls: int, rate: float) -> None:
    ours, bare, lag = _times(OURS, url, processes, calls, rate)
    more = {
        "paired_median_ms": float(np.median(ours - bare)) * 1000,
        "p99_difference_ms": float(np.percentile(ours, 99) - np.percentile(bare, 99)) * 1000,
        "loop_lag_p99_ms": float(np.percentile(lag, 99)) * 1000,
    }
    if python := os.environ.get("HOLDFAST_LITELLM_PYTHON"):
        command = [python, str(ROOT / "benchmarks/gateway_overhead_litellm.py")]
        for name, limits in (("litellm", False), ("litellm_with_limits", True)):
            theirs, beside, _ = _times(command, url, processes, calls, rate, limits=limits)
            more[f"{name}_paired_median_ms"] = float(np.median(theirs - beside)) * 1000
            more[f"{name}_p99_difference_ms"] = (
                float(np.percentile(theirs, 99) - np.percentile(beside, 99)) * 1000
            )
    report(
        f"gateway: overhead, {processes} process{'es' if processes > 1 else ''} at {rate:g}/s",
        float(np.median(ours)), float(np.median(bare)), "median <= 4 ms, p99 <= 15 ms, lag <= 5 ms", **more,
    )  # fmt: skip


def _times(
    command: list[str], url: str, processes: int, calls: int, rate: float, *, limits: bool = False
) -> tuple[Any, Any, Any]:
    """Seconds of the client's calls, of bare ones, and of the loop's lag, of several processes at once."""
    with tempfile.TemporaryDirectory(prefix="hf-") as folder:
        store = f"sqlite:///{folder}/gateway.sqlite3"
        plan = {"store": store, "provider": url, "calls": calls, "rate": rate, "limits": limits}
        running = [
            subprocess.Popen(
                [*command, json.dumps({**plan, "seed": seed})], cwd=ROOT, stdout=subprocess.PIPE, text=True
            )
            for seed in range(processes)
        ]
        told = [json.loads(process.communicate()[0].splitlines()[-1]) for process in running]
    client, bare = (np.array([pair[side] for one in told for pair in one["pairs"]]) for side in (0, 1))
    return client, bare, np.array([late for one in told for late in one["lag"]])


async def worker(plan: dict[str, Any]) -> dict[str, Any]:
    """This client's calls beside bare ones."""
    catalogue = Catalogue.load(MODELS).pointed_at(plan["provider"])
    async with GatewayClient(GatewaySettings(url=plan["store"]), catalogue) as llm:

        async def ask() -> None:
            await llm.chat(tenant="acme", model="sim-alone", messages=MESSAGES, max_tokens=MAX_TOKENS)

        return await pairs(plan, ask)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        print(json.dumps(asyncio.run(worker(json.loads(sys.argv[2])))))
    else:
        main()
