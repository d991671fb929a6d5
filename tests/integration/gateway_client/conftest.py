"""A gateway's store, once per database that it runs on, and a simulated provider that forgets before each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway_client.ledger.transactions import Transactions
from gateway_client.operating import Operator
from gateway_client.pools.declared import PoolConfig
from gateway_client.settings import GatewaySettings
from gateway_client.simulator.running import Simulator
from gateway_client.simulator.settings import Settings
from gateway_client.store.database import Database
from gateway_client.store.opening import open_database
from tests.support.gateway_calls import afresh
from tests.support.gateway_stores import STORES, empty_store


@pytest.fixture(params=STORES)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty store."""
    with empty_store(request.param, tmp_path, request) as url:
        yield url


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    """A migrated store."""
    opened = open_database(store_url)
    yield opened
    opened.close()


@pytest.fixture
def books(database: Database) -> Transactions:
    """The ledger's transactions, with one small pool: three slots, one of them headroom."""
    found = Transactions(database)
    found.declare(
        {"pool": PoolConfig(max_window=3, headroom=1, batch_minimum=0, queue_batch=5, queue_interactive=3)}
    )
    return found


@pytest.fixture
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GatewaySettings]:
    """A client's settings over an empty store: on SQLite, or where a test asks for `both_stores`, on each."""
    with empty_store(getattr(request, "param", "sqlite"), tmp_path, request) as url:
        yield GatewaySettings(url=url, stall_seconds=0.5, first_token_seconds=1.0, drain_seconds=2.0)


@pytest.fixture
def operator(settings: GatewaySettings) -> Iterator[Operator]:
    """Whoever looks after the store of `settings`."""
    found = Operator(open_database(settings.store))
    yield found
    found.close()


@pytest.fixture(scope="module")
def running() -> Iterator[Simulator]:
    with Simulator() as found:
        yield found


@pytest.fixture
def provider_settings() -> Settings:
    """What the simulated provider is like before a test changes it: short of words."""
    return Settings(output_tokens=5)


@pytest.fixture
def simulator(running: Simulator, provider_settings: Settings) -> Simulator:
    """A simulated provider that has seen nothing: one for a module, as new for each test."""
    return afresh(running, provider_settings)
