"""A process that makes calls of every kind through the gateway client, to be killed at any moment.

python -m tests.support.gateway_worker STORE_URL PROVIDER_URL CALLS SEED [MUTANT]
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path
from typing import Any

from gateway_client.catalogue import Catalogue
from gateway_client.client import GatewayClient
from gateway_client.errors import GatewayError
from gateway_client.ledger import counters
from gateway_client.settings import GatewaySettings

CONCURRENCY = 16
SIMULATED = Path(__file__).parents[2] / "gateway_client/simulator/models.toml"
TENANTS = ("acme", "globex", "tight")
MESSAGES = [{"role": "user", "content": "Say what holds, and why it does."}]


def mutate(name: str) -> None:
    """Break the ledger on purpose: the test must see it."""
    if name == "skip-hold":
        counters.take = lambda *_args, **_named: None  # type: ignore[assignment]
        counters.settle = _settle_without_hold  # type: ignore[assignment]
    elif name == "settle-twice":
        once = counters.settle

        def twice(connection: Any, keys: Any, held: Any, used: Any) -> Any:
            once(connection, keys, held, used)
            return once(connection, keys, counters.NOTHING, used)

        counters.settle = twice  # type: ignore[assignment]


def _settle_without_hold(connection: Any, keys: Any, held: Any, used: Any) -> Any:
    counters._move(connection, keys, counters.NOTHING, used, counters.NOTHING)
    return counters.NOTHING


async def one(llm: GatewayClient, draw: random.Random, number: int) -> None:
    """One call of some kind; whatever error it ends in is none of our business."""
    kind = draw.random()
    asked: dict[str, Any] = {
        "tenant": draw.choice(TENANTS),
        "model": draw.choice(("sim-openai", "sim-anthropic", "sim-alone")),
        "messages": MESSAGES,
        "max_tokens": draw.randint(20, 60),
        "lane": draw.choice(("interactive", "batch")),
        "deadline": 6.0,
        "request_id": f"{draw.random()}-{number}",
    }
    try:
        if kind < 0.2:
            stream = await llm.stream(**asked)
            async with stream:
                async for _ in stream:
                    if kind < 0.05:
                        break
        elif kind < 0.35:
            await asyncio.wait_for(llm.chat(**asked), draw.uniform(0.0, 0.05))
        elif kind < 0.6:
            key = f"key-{draw.randint(0, 10_000)}"
            await llm.chat(**asked, idempotency_key=key, on_unknown=draw.choice(("fail", "buy")))
        else:
            await llm.chat(**asked)
    except (GatewayError, TimeoutError):
        return


async def work(url: str, provider: str, calls: int, seed: int) -> None:
    draw = random.Random(seed)
    catalogue = Catalogue.load(SIMULATED).pointed_at(provider)
    settings = GatewaySettings(
        url=url, drain_seconds=1.0, stall_seconds=1.0, first_token_seconds=1.0, answer_seconds=1.0
    )
    gate = asyncio.Semaphore(CONCURRENCY)

    async def bounded(number: int) -> None:
        async with gate:
            await one(llm, draw, number)

    async with GatewayClient(settings, catalogue) as llm:
        await asyncio.gather(*(bounded(number) for number in range(calls)))


def main() -> None:
    url, provider, calls, seed, *mutant = sys.argv[1:]
    if mutant:
        mutate(mutant[0])
    asyncio.run(work(url, provider, int(calls), int(seed)))


if __name__ == "__main__":
    main()
