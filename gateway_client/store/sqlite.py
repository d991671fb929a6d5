"""The store of one host: SQLite, its writers in a queue of their own.

SQLite's own busy wait is unfair (four processes in a closed loop: worst cycle 1.6 s); a file lock taken first is
granted in order (56 ms). `BEGIN IMMEDIATE`, because a transaction that reads first and writes later decides on
what is no longer so. `synchronous=NORMAL` survives a kill of any process, `FULL` also a power cut.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from gateway_client.errors import StoreUnavailable
from gateway_client.store.database import Database, Work

T = TypeVar("T")
BUSY_MS = 5_000

# A child that is forked within a transaction takes its parent's locks for its own, and finds the file locked for ever.
_not_forking = threading.RLock()
os.register_at_fork(
    before=_not_forking.acquire, after_in_parent=_not_forking.release, after_in_child=_not_forking.release
)


class SqliteDatabase(Database):
    """The store in a SQLite file. `clock` gives Unix time; all processes of the host share it."""

    def __init__(self, url: str, *, durable: bool = False, clock: Callable[[], float] = time.time) -> None:
        found = make_url(url)
        if not found.database or found.database == ":memory:":
            raise StoreUnavailable(
                f"{url}: the gateway's store is shared between processes and must be a file"
            )
        self.path = Path(found.database).absolute()
        self._clock = clock
        self._lock = -1
        self._make_folder()
        engine = create_engine(
            found, poolclass=QueuePool, connect_args={"timeout": BUSY_MS / 1000, "check_same_thread": False}
        )
        event.listen(engine, "connect", _configure("FULL" if durable else "NORMAL"))
        event.listen(engine, "begin", _begin)
        self._writing = engine.execution_options(gateway_write=True)
        super().__init__(engine, str(self.path))

    def _make_folder(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(f"{self.path.parent} cannot be made: {error.strerror}") from error

    def write(self, work: Work[T]) -> T:
        try:
            with self._writer(), _not_forking, self._writing.begin() as connection:
                return work(connection)
        except (DBAPIError, SQLAlchemyError, OSError) as error:
            raise self.unavailable(error) from error

    def read(self, work: Work[T]) -> T:
        with _not_forking:
            return super().read(work)

    @contextmanager
    def _writer(self) -> Iterator[None]:
        if self._lock < 0:
            self._lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def now(self, connection: Connection) -> float:
        return self._clock()

    def close(self) -> None:
        super().close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _configure(synchronous: str) -> Callable[[Any, object], None]:
    def configure(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's connection
        connection.isolation_level = None
        for pragma in (
            f"busy_timeout={BUSY_MS}",
            "journal_mode=WAL",
            f"synchronous={synchronous}",
            "secure_delete=ON",  # replies that expired are overwritten
            "temp_store=MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    return configure


def _begin(connection: Connection) -> None:
    write = connection.get_execution_options().get("gateway_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
