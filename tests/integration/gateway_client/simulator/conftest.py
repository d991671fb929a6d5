"""One simulated provider for a module: it starts once, and forgets before each test."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from gateway_client.simulator.running import Simulator
from gateway_client.simulator.settings import Settings


@pytest.fixture(scope="module")
def running() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def simulator(running: Simulator) -> Simulator:
    running.provider.change(Settings())
    running.reset()
    return running


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    # Nothing is encrypted here, and reading the machine's certificates takes longer than a test.
    with httpx.Client(timeout=5.0, verify=False) as client:
        yield client
