"""Loads in their processes on a fresh store, beginning at one moment."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.gateway_provider import Provider
from gateway_client.operating import Operator
from gateway_client.store.opening import open_database

CAPACITY, HEADROOM = 80, 4
Served = list[dict[str, Any]]


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
