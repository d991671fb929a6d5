"""One process of load through the gateway client: calls of tenants, open loop, their times printed as JSON.

python -m benchmarks.gateway_load '{"store": …, "provider": …, "loads": [{"tenant": …, "calls": …, "rate": …}]}'
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from gateway_client.catalogue import Catalogue
from gateway_client.client import GatewayClient
from gateway_client.errors import GatewayError
from gateway_client.settings import GatewaySettings

MODELS = Path(__file__).parents[1] / "gateway_client/simulator/models.toml"
MODEL = "sim-alone"


async def call(llm: GatewayClient, load: dict[str, Any], number: int, began: float) -> dict[str, Any]:
    """One call at its time: `late` is how much later than planned it began."""
    planned = began + load.get("after", 0.0) + (number / load["rate"] if load.get("rate") else 0.0)
    await asyncio.sleep(max(0.0, planned - time.time()))
    started = time.time()
    told = {"tenant": load["tenant"], "planned": planned, "started": started}
    try:
        reply = await llm.chat(
            tenant=load["tenant"], lane=load["lane"], model=MODEL, max_tokens=load.get("tokens", 40),
            messages=[{"role": "user", "content": "Take out what matters."}],
            request_id=f"{load['tenant']}-{number}", deadline=load.get("deadline"),
        )  # fmt: skip
    except GatewayError as error:
        return {**told, "ended": time.time(), "error": f"{type(error).__name__}: {error}"}
    used = reply.usage.total if reply.usage else 0
    return {**told, "ended": time.time(), "tokens": used, "queue_wait": reply.record.queue_wait}


async def run(plan: dict[str, Any]) -> list[dict[str, Any]]:
    catalogue = Catalogue.load(MODELS).pointed_at(plan["provider"])
    settings = GatewaySettings(url=plan["store"], answer_seconds=120.0)
    async with GatewayClient(settings, catalogue, seed=plan.get("seed", 1)) as llm:
        print("ready", flush=True)
        began = float(await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline))
        asked = [call(llm, load, number, began) for load in plan["loads"] for number in range(load["calls"])]
        return list(await asyncio.gather(*asked))


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(json.loads(sys.argv[1])))), flush=True)
