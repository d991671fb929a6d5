"""LiteLLM's Router beside bare httpx: as benchmarks/gateway_overhead.py's worker, in a Python that has LiteLLM."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from gateway_pairs import MAX_TOKENS, MESSAGES, MODEL, pairs  # type: ignore[import-not-found]


async def worker(plan: dict[str, Any]) -> dict[str, Any]:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # it would fetch prices
    import litellm
    from litellm import Router

    litellm.suppress_debug_info = True
    parameters = {"model": f"openai/{MODEL}", "api_base": f"{plan['provider']}/openai", "api_key": "none"}
    router = Router(model_list=[{"model_name": "m", "litellm_params": parameters}])

    async def ask() -> None:
        await router.acompletion(model="m", messages=MESSAGES, max_tokens=MAX_TOKENS)

    return await pairs(plan, ask)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(worker(json.loads(sys.argv[1])))))
