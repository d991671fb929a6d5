"""A process that makes one call and may be killed meanwhile.

python -m tests.support.gateway_one_call STORE_URL PROVIDER_URL FAULT DEADLINE
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway_client.catalogue import Catalogue
from gateway_client.client import GatewayClient
from gateway_client.settings import GatewaySettings
from gateway_client.simulator.running import SIMULATED
from tests.support.gateway_calls import hello

ROOT = Path(__file__).parents[2]


@contextmanager
def caller(
    store: str, provider: str, fault: str, deadline: float, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """The process, for as long as the block lasts; `environment` is added to ours."""
    command = [sys.executable, "-m", "tests.support.gateway_one_call", store, provider, fault, str(deadline)]
    given: dict[str, Any] = {"cwd": ROOT, "env": os.environ | environment, "text": True}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **given) as process:
        try:
            yield process
        finally:
            process.kill()


async def call(store: str, provider: str, fault: str, deadline: float) -> None:
    catalogue = Catalogue.load(SIMULATED).pointed_at(provider)
    async with GatewayClient(GatewaySettings(url=store), catalogue) as llm:
        await llm.chat(**hello(fault, deadline=deadline, request_id="ours"))


if __name__ == "__main__":
    asyncio.run(call(*sys.argv[1:4], float(sys.argv[4])))
