"""The store of many hosts: PostgreSQL, rows locked in one order, its clock the shared one."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TypeVar

from sqlalchemy import Connection, bindparam, create_engine, make_url, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from gateway_client.store.database import Database, Work
from gateway_client.store.schema import counter, pool

T = TypeVar("T")
THREADS = 4
ATTEMPTS = 6
# Deadlocks cannot happen by our own order of locks; an operator's statements may still collide with it.
RETRIED = ("40001", "40P01")
CHANNEL = "holdfast_gateway"

_LOCK_POOLS = (
    select(pool.c.name)
    .where(pool.c.name.in_(bindparam("names", expanding=True)))
    .order_by(pool.c.name)
    .with_for_update()
)
_LOCK_COUNTERS = (
    select(counter.c.key)
    .where(counter.c.key.in_(bindparam("keys", expanding=True)))
    .order_by(counter.c.key)
    .with_for_update()
)
_NOW = text("select extract(epoch from clock_timestamp())")
_NOTIFY = text(f"select pg_notify('{CHANNEL}', :address)")


class PostgresDatabase(Database):
    """The store in a PostgreSQL database."""

    threads = THREADS

    def __init__(self, url: str) -> None:
        engine = create_engine(
            url, pool_size=THREADS, max_overflow=2, pool_pre_ping=False, connect_args={"connect_timeout": 5}
        )
        self.url = url
        super().__init__(engine, make_url(url).render_as_string(hide_password=True))

    def write(self, work: Work[T]) -> T:
        for attempt in range(ATTEMPTS):
            try:
                with self.engine.begin() as connection:
                    return work(connection)
            except (DBAPIError, SQLAlchemyError, OSError) as error:
                if not _may_pass(error) or attempt == ATTEMPTS - 1:
                    raise self.unavailable(error) from error
                time.sleep(0.01 * 2**attempt)
        raise AssertionError

    def now(self, connection: Connection) -> float:
        return float(connection.execute(_NOW).scalar_one())

    def lock_pools(self, connection: Connection, names: Iterable[str]) -> None:
        connection.execute(_LOCK_POOLS, {"names": sorted(names)})

    def lock_counters(self, connection: Connection, keys: Sequence[str]) -> None:
        if keys:
            connection.execute(_LOCK_COUNTERS, {"keys": sorted(keys)})

    def notify(self, connection: Connection, addresses: Iterable[str]) -> None:
        for address in sorted(set(addresses)):
            connection.execute(_NOTIFY, {"address": address})


def _may_pass(error: BaseException) -> bool:
    """Whether the same transaction may succeed when it is run again: a collision, or a connection that went stale."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return getattr(getattr(error, "orig", None), "sqlstate", None) in RETRIED
