"""The simulated provider as it comes, and a plain HTTP client to ask it with."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from gateway_client.simulator.settings import Settings


@pytest.fixture
def provider_settings() -> Settings:
    return Settings()


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    # Nothing is encrypted here, and reading the machine's certificates takes longer than a test.
    with httpx.Client(timeout=5.0, verify=False) as client:
        yield client
