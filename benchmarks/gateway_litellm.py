"""The peer: LiteLLM's Router on the same provider with the same load, as its documentation sets it up.

Run by the Python of HOLDFAST_LITELLM_PYTHON, an environment that has LiteLLM; nothing of ours is imported.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any


async def run(plan: dict[str, Any]) -> list[dict[str, Any]]:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # it would fetch prices
    import litellm
    from litellm import Router

    litellm.suppress_debug_info = True
    parameters = {
        "model": "openai/sim-alone-2026-01-01",
        "api_base": plan["provider"] + "/openai",
        "api_key": "none",
        "max_parallel_requests": plan.get("capacity"),
    }
    router = Router(
        model_list=[{"model_name": "sim-alone", "litellm_params": parameters}],
        num_retries=plan.get("retries", 10), retry_after=0, disable_cooldowns=True, timeout=600,
    )  # fmt: skip
    print("ready", flush=True)
    began = float(await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline))
    asked = [call(router, load, number, began) for load in plan["loads"] for number in range(load["calls"])]
    return list(await asyncio.gather(*asked))


async def call(
    router: Any,  # noqa: ANN401 - not importable here
    load: dict[str, Any],
    number: int,
    began: float,
) -> dict[str, Any]:
    planned = began + load.get("after", 0.0) + (number / load["rate"] if load.get("rate") else 0.0)
    await asyncio.sleep(max(0.0, planned - time.time()))
    told = {"tenant": load["tenant"], "planned": planned, "started": time.time()}
    try:
        await router.acompletion(
            model="sim-alone", messages=[{"role": "user", "content": "Take out what matters."}],
            max_tokens=load.get("tokens", 40), extra_headers={"x-request-id": f"{load['tenant']}-{number}"},
        )  # fmt: skip
    except Exception as error:  # whatever it gives up with is a call that was not served
        return {**told, "ended": time.time(), "error": type(error).__name__}
    return {**told, "ended": time.time()}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(json.loads(sys.argv[1])))), flush=True)
