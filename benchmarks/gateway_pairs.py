"""Calls of a client beside the same calls by bare httpx: open loop, in random order. For any Python with httpx."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

MESSAGES = [{"role": "user", "content": "Say what holds."}]
MODEL = "sim-alone-2026-01-01"
MAX_TOKENS = 40
TICK = 0.005
Ask = Callable[[], Awaitable[Any]]


async def pairs(plan: dict[str, Any], client: Ask) -> dict[str, Any]:
    """Pairs of seconds, the client's and bare httpx's, and how late the loop's ticks were.

    `plan`: `provider` (its URL), `calls` of each kind, `rate` (calls a second) and `seed`.
    """
    draw, lag = random.Random(plan["seed"]), list[float]()
    async with httpx.AsyncClient() as http:
        bare = _bare(http, plan["provider"])
        ticking = asyncio.create_task(_tick(lag))
        await asyncio.gather(*(_pair(client, bare, random.Random(1)) for _ in range(3)))
        lag.clear()
        began, rate, asked = time.perf_counter(), plan["rate"], []
        for number in range(plan["calls"]):
            planned = began + 2 * number / rate + draw.uniform(0, 0.5 / rate)
            asked.append(asyncio.create_task(_later(planned, client, bare, draw, 1 / rate)))
        found = await asyncio.gather(*asked)
        ticking.cancel()
    return {"pairs": found, "lag": lag}


async def _later(
    planned: float, client: Ask, bare: Ask, draw: random.Random, apart: float
) -> tuple[float, float]:
    await asyncio.sleep(max(0.0, planned - time.perf_counter()))
    return await _pair(client, bare, draw, apart)


async def _pair(client: Ask, bare: Ask, draw: random.Random, apart: float = 0.0) -> tuple[float, float]:
    """One call of each kind, in random order, `apart` seconds after each other."""
    first = draw.random() < 0.5
    one = await _seconds(client if first else bare)
    await asyncio.sleep(max(0.0, apart - one))
    other = await _seconds(bare if first else client)
    return (one, other) if first else (other, one)


async def _seconds(ask: Ask) -> float:
    began = time.perf_counter()
    await ask()
    return time.perf_counter() - began


def _bare(http: httpx.AsyncClient, url: str) -> Ask:
    body = {"model": MODEL, "messages": MESSAGES, "max_tokens": MAX_TOKENS}

    async def ask() -> None:
        (await http.post(f"{url}/openai/chat/completions", json=body)).json()

    return ask


async def _tick(lag: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(TICK)
        lag.append(time.perf_counter() - began - TICK)
