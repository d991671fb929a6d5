"""What LiteLLM's Router adds to bare httpx on the same provider: the paired median, in seconds, on stdout."""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time


async def main(url: str, calls: int) -> float:
    import httpx

    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # it would fetch prices
    import litellm
    from litellm import Router

    litellm.suppress_debug_info = True
    parameters = {"model": "openai/sim-alone-2026-01-01", "api_base": f"{url}/openai", "api_key": "none"}
    router = Router(model_list=[{"model_name": "m", "litellm_params": parameters}])
    messages = [{"role": "user", "content": "Say what holds."}]
    body = {"model": "sim-alone-2026-01-01", "messages": messages, "max_tokens": 40}
    differences = []
    async with httpx.AsyncClient() as http:
        for number in range(calls + 5):
            began = time.perf_counter()
            await router.acompletion(model="m", messages=messages, max_tokens=40)
            between = time.perf_counter()
            (await http.post(f"{url}/openai/chat/completions", json=body)).json()
            ended = time.perf_counter()
            if number >= 5:
                differences.append((between - began) - (ended - between))
            await asyncio.sleep(0.02)
    return statistics.median(differences)


if __name__ == "__main__":
    print(asyncio.run(main(sys.argv[1], int(sys.argv[2]))))
