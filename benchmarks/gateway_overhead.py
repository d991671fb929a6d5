"""What the client costs beside bare httpx: both called in random order, open loop, by one process and by four.

With HOLDFAST_LITELLM_PYTHON, a Python that has LiteLLM, also beside its Router. Times are of whole calls to a provider
that answers at once, so that what is measured is the client; the loop's lag is that of a 5 ms tick.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.gateway_load import MODELS
from benchmarks.gateway_provider import provider
from benchmarks.measure import report
from gateway_client.catalogue import Catalogue
from gateway_client.client import GatewayClient
from gateway_client.settings import GatewaySettings

TICK = 0.005
ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1000, help="calls of each kind and process")
    parser.add_argument("--rate", type=float, default=25.0, help="calls a second and process")
    options = parser.parse_args()
    with provider(output_tokens=20) as found:
        litellm = _litellm(found.url, options.calls) if os.environ.get("HOLDFAST_LITELLM_PYTHON") else None
        for processes in (1, 4):
            _measure(found.url, processes, options.calls, options.rate, litellm)


def _measure(url: str, processes: int, calls: int, rate: float, litellm: float | None) -> None:
    with tempfile.TemporaryDirectory(prefix="hf-") as folder:
        plan = {"store": f"sqlite:///{folder}/gateway.sqlite3", "provider": url, "calls": calls, "rate": rate}
        command = [sys.executable, "-m", "benchmarks.gateway_overhead", "--worker"]
        running = [
            subprocess.Popen(
                [*command, json.dumps({**plan, "seed": n})], cwd=ROOT, stdout=subprocess.PIPE, text=True
            )
            for n in range(processes)
        ]
        told = [json.loads(process.communicate()[0].splitlines()[-1]) for process in running]
    ours, bare = (np.array([pair[side] for one in told for pair in one["pairs"]]) for side in (0, 1))
    lag = np.array([late for one in told for late in one["lag"]])
    paired = float(np.median(ours - bare)) * 1000
    tail = float(np.percentile(ours, 99) - np.percentile(bare, 99)) * 1000
    name = f"gateway: overhead, {processes} process{'es' if processes > 1 else ''} at {rate:g}/s"
    more = {
        "paired_median_ms": paired,
        "p99_difference_ms": tail,
        "loop_lag_p99_ms": float(np.percentile(lag, 99)) * 1000,
    }
    if litellm is not None:
        more["litellm_median_ms"] = litellm * 1000
    report(
        name,
        float(np.median(ours)),
        float(np.median(bare)),
        "median <= 4 ms, p99 <= 15 ms, lag <= 5 ms",
        **more,
    )


def _litellm(url: str, calls: int) -> float:
    """The median of what LiteLLM's Router adds to bare httpx, in its own process, one after the other."""
    command = [
        os.environ["HOLDFAST_LITELLM_PYTHON"],
        str(ROOT / "benchmarks/gateway_overhead_litellm.py"),
        url,
        str(calls),
    ]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(found.stdout.splitlines()[-1])


async def worker(plan: dict[str, Any]) -> dict[str, Any]:
    """Pairs of times, ours and bare, and how late the loop's ticks were."""
    draw = random.Random(plan["seed"])
    lag: list[float] = []
    async with (
        GatewayClient(
            GatewaySettings(url=plan["store"]), Catalogue.load(MODELS).pointed_at(plan["provider"])
        ) as llm,
        httpx.AsyncClient() as http,
    ):
        ticking = asyncio.create_task(_tick(lag))
        await asyncio.gather(*(_pair(llm, http, plan["provider"], random.Random(1)) for _ in range(3)))
        lag.clear()
        began = time.perf_counter()
        pairs = []
        for number in range(plan["calls"]):
            planned = began + 2 * number / plan["rate"] + draw.uniform(0, 0.5 / plan["rate"])
            pairs.append(
                asyncio.create_task(_later(planned, llm, http, plan["provider"], draw, 1 / plan["rate"]))
            )
        found = await asyncio.gather(*pairs)
        ticking.cancel()
    return {"pairs": found, "lag": lag}


async def _later(
    planned: float, llm: GatewayClient, http: httpx.AsyncClient, url: str, draw: random.Random, apart: float
) -> tuple[float, float]:
    await asyncio.sleep(max(0.0, planned - time.perf_counter()))
    return await _pair(llm, http, url, draw, apart)


async def _pair(
    llm: GatewayClient, http: httpx.AsyncClient, url: str, draw: random.Random, apart: float = 0.0
) -> tuple[float, float]:
    """One call of each kind, in random order, `apart` seconds after each other."""
    first = draw.random() < 0.5
    one = await (_ours(llm) if first else _bare(http, url))
    await asyncio.sleep(max(0.0, apart - one))
    other = await (_bare(http, url) if first else _ours(llm))
    return (one, other) if first else (other, one)


async def _ours(llm: GatewayClient) -> float:
    began = time.perf_counter()
    await llm.chat(
        tenant="acme",
        model="sim-alone",
        messages=[{"role": "user", "content": "Say what holds."}],
        max_tokens=40,
    )
    return time.perf_counter() - began


async def _bare(http: httpx.AsyncClient, url: str) -> float:
    body = {
        "model": "sim-alone-2026-01-01",
        "messages": [{"role": "user", "content": "Say what holds."}],
        "max_tokens": 40,
    }
    began = time.perf_counter()
    (await http.post(f"{url}/openai/chat/completions", json=body)).json()
    return time.perf_counter() - began


async def _tick(lag: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(TICK)
        lag.append(time.perf_counter() - began - TICK)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        print(json.dumps(asyncio.run(worker(json.loads(sys.argv[2])))))
    else:
        main()
