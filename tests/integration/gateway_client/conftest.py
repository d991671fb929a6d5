"""A gateway's store, once per database that it runs on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway_client.ledger.transactions import Transactions
from gateway_client.pools.declared import PoolConfig
from gateway_client.store.database import Database
from gateway_client.store.opening import open_database


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty store."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'gateway.sqlite3'}"
        return
    server = request.getfixturevalue("postgres")
    name = server.create("template0")
    yield server.url(name)
    server.drop(name)


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
