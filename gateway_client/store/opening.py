"""From a URL to a store."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from gateway_client.errors import StoreUnavailable
from gateway_client.store.database import Database


def open_database(url: str, *, durable: bool = False) -> Database:
    """The store at a URL, with its schema brought up to date. Raises StoreUnavailable."""
    database = _database(url, durable)
    database.migrate()
    return database


def is_there(url: str) -> bool:
    """Whether anybody ever opened the store at a URL, as far as can be told without opening it."""
    found = make_url(url)
    return found.get_backend_name() != "sqlite" or Path(found.database or "").is_file()


def _database(url: str, durable: bool) -> Database:
    try:
        backend = make_url(url).get_backend_name()
    except ArgumentError as error:
        raise StoreUnavailable(
            "HOLDFAST_GATEWAY_URL is no database URL: sqlite:///PATH or postgresql+psycopg://…"
        ) from error
    if backend == "sqlite":
        from gateway_client.store.sqlite import SqliteDatabase

        return SqliteDatabase(url, durable=durable)
    if backend == "postgresql":
        from gateway_client.store.postgres import PostgresDatabase

        return PostgresDatabase(url)
    raise StoreUnavailable(f"a {backend} database cannot be the gateway's store: use SQLite or PostgreSQL")
