"""The gateway's database: its engine, its schema, and the one way to write to it.

Subclasses know what a writer must take before it may read and decide: on SQLite a file lock and `BEGIN IMMEDIATE`,
on PostgreSQL row locks in one order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from gateway_client.errors import SchemaOutdated, StoreUnavailable
from gateway_client.store.schema import REVISION, VERSION_TABLE

T = TypeVar("T")
Work = Callable[[Connection], T]


class Database:
    """A handle on the gateway's tables: blocking, to be used off the event loop, not across a fork."""

    threads = 1
    polls_liveness = True

    def __init__(self, engine: Engine, place: str) -> None:
        self.engine = engine
        self.place = place

    def write(self, work: Work[T]) -> T:
        """Run `work` in one transaction that nobody can undercut. It may run twice: it must have no other effect.

        Raises StoreUnavailable.
        """
        raise NotImplementedError

    def read(self, work: Work[T]) -> T:
        """Run `work` on one snapshot. Raises StoreUnavailable."""
        try:
            with self.engine.connect() as connection:
                return work(connection)
        except (DBAPIError, SQLAlchemyError, OSError) as error:
            raise self.unavailable(error) from error

    def now(self, connection: Connection) -> float:
        """Unix time by the clock that all users of this store share."""
        raise NotImplementedError

    def lock_pools(self, connection: Connection, names: Iterable[str]) -> None:
        """Keep others from changing these pools until the transaction ends."""

    def lock_counters(self, connection: Connection, keys: Sequence[str]) -> None:
        """Keep others from changing these counters until the transaction ends."""

    def notify(self, connection: Connection, addresses: Iterable[str]) -> None:
        """Wake these workers when the transaction commits, where the database can."""

    def unavailable(self, error: BaseException) -> StoreUnavailable:
        """The error for callers: nothing is sent without a ledger."""
        told = str(getattr(error, "orig", None) or error).splitlines()
        return StoreUnavailable(
            f"the gateway's store at {self.place} cannot be used ({told[0] if told else type(error).__name__}): "
            "nothing is sent without a ledger. Look at HOLDFAST_GATEWAY_URL"
        )

    def migrate(self) -> None:
        """Bring the schema to this program's revision; cheap where it is there. Raises StoreUnavailable."""
        if self._revision() == REVISION:
            return
        from alembic import command
        from alembic.config import Config

        options = Config()
        options.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        options.attributes["engine"] = self.engine
        try:
            command.upgrade(options, "head")
        except (DBAPIError, SQLAlchemyError, OSError) as error:
            raise self.unavailable(error) from error

    def ensure_current(self) -> None:
        """Raise SchemaOutdated unless the schema is exactly this program's."""
        found = self._revision()
        if found != REVISION:
            raise SchemaOutdated(
                f"the gateway's schema at {self.place} is {found or 'empty'}, this program needs {REVISION}"
            )

    def _revision(self) -> str | None:
        def look(connection: Connection) -> str | None:
            if not inspect(connection).has_table(VERSION_TABLE):
                return None
            found = connection.execute(text(f"select version_num from {VERSION_TABLE}")).scalar()  # noqa: S608
            return None if found is None else str(found)

        return self.read(look)

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()
