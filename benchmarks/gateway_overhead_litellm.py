"""LiteLLM's Router beside bare httpx: as benchmarks/gateway_overhead.py's worker, in a Python that has LiteLLM.

Plain, it counts nothing. With `limits` it keeps rates, a budget and a bound on what is in flight, in its own memory.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from gateway_pairs import MAX_TOKENS, MESSAGES, MODEL, pairs  # type: ignore[import-not-found]

RATES: dict[str, Any] = {
    "rpm": 1_000_000,
    "tpm": 1_000_000_000,
    "max_parallel_requests": 1_000,
    "input_cost_per_token": 1e-6,
    "output_cost_per_token": 2e-6,
}
BUDGET = {"openai": {"budget_limit": 1_000.0, "time_period": "1d"}}


async def worker(plan: dict[str, Any]) -> dict[str, Any]:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # it would fetch prices
    import litellm
    from litellm import Router

    litellm.suppress_debug_info = True
    parameters: dict[str, Any] = {
        "model": f"openai/{MODEL}",
        "api_base": f"{plan['provider']}/openai",
        "api_key": "none",
    }
    more: dict[str, Any] = {}
    if plan["limits"]:
        parameters |= RATES
        more = {"routing_strategy": "usage-based-routing-v2", "provider_budget_config": BUDGET}
    router = Router(model_list=[{"model_name": "m", "litellm_params": parameters}], **more)

    async def ask() -> None:
        await router.acompletion(model="m", messages=MESSAGES, max_tokens=MAX_TOKENS)

    return await pairs(plan, ask)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(worker(json.loads(sys.argv[1])))))
