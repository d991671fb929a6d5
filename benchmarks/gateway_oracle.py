"""The bound: a client that knows the provider's capacity, has no ledger, and obeys the same gates.

One process, bare httpx: a slot for every request that the provider can take, people before batch, a rejected
request again at once or when its gate opens.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from typing import Any

import httpx


class Oracle:
    """Slots, two queues, and a gate."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._free = plan["capacity"]
        self._url = plan["provider"] + "/openai/chat/completions"
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {"interactive": deque(), "batch": deque()}
        self._gate = 0.0
        self._http = httpx.AsyncClient(timeout=None, limits=httpx.Limits(max_connections=None))

    async def call(self, load: dict[str, Any], number: int, began: float) -> dict[str, Any]:
        planned = began + load.get("after", 0.0) + (number / load["rate"] if load.get("rate") else 0.0)
        await asyncio.sleep(max(0.0, planned - time.time()))
        while True:
            await self._slot(load["lane"])
            response = await self._send(f"{load['tenant']}-{number}", load.get("tokens", 40))
            if response.status_code == 200:
                self._give_back()
                return {"tenant": load["tenant"], "planned": planned, "ended": time.time()}
            wait = response.headers.get("retry-after")
            if wait is not None:
                self._gate = max(self._gate, time.time() + float(wait))
            self._give_back()

    async def _send(self, request: str, tokens: int) -> httpx.Response:
        body = {
            "model": "sim-alone-2026-01-01",
            "messages": [{"role": "user", "content": "Take out what matters."}],
            "max_tokens": tokens,
        }
        return await self._http.post(self._url, json=body, headers={"x-request-id": request})

    async def _slot(self, lane: str) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[lane].append(waiter)
        self._hand_out()
        await waiter
        while (shut := self._gate - time.time()) > 0:
            await asyncio.sleep(shut)

    def _give_back(self) -> None:
        self._free += 1
        self._hand_out()

    def _hand_out(self) -> None:
        while self._free and (queue := self._waiting["interactive"] or self._waiting["batch"]):
            self._free -= 1
            queue.popleft().set_result(None)


async def run(plan: dict[str, Any]) -> list[dict[str, Any]]:
    oracle = Oracle(plan)
    print("ready", flush=True)
    began = float(await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline))
    asked = [oracle.call(load, number, began) for load in plan["loads"] for number in range(load["calls"])]
    return list(await asyncio.gather(*asked))


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(json.loads(sys.argv[1])))), flush=True)
