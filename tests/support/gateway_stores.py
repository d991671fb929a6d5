"""Stores of a gateway that are still empty, on each database that it runs on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

STORES = ("sqlite", "postgres")
# For tests with a `settings` fixture: over SQLite and over PostgreSQL, where SQLite alone is the rule.
both_stores = pytest.mark.parametrize("settings", STORES, indirect=True)


@contextmanager
def empty_store(kind: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of an empty store, for as long as the block lasts. A PostgreSQL is started only where it is asked for."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'gateway.sqlite3'}"
        return
    server = request.getfixturevalue("postgres")
    name = server.create("template0")
    try:
        yield server.url(name)
    finally:
        server.drop(name)
