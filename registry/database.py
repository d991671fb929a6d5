"""The registry's database: one engine, reads that see one state, writes that queue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import Session

from registry.errors import SchemaOutdated

# Each of the capturer's threads reads, writes and renews a lease at once.
CONNECTIONS = 32
SQLITE_BUSY_MS = 60_000


class Registry:
    """A handle on the registry. Cheap to make, safe to share between threads, not between forks.

    `read()` is one snapshot; `write()` takes the write lock at once, because on SQLite a transaction that
    reads first and writes later either fails or decides on what is no longer so.
    """

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        if self.url.get_backend_name() == "sqlite" and self.url.database:
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        self.engine = _engine(url)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session on one consistent snapshot; nothing it does is kept."""
        with Session(self.engine, expire_on_commit=False, autoflush=False) as session:
            session.connection(execution_options=self._read_options())
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that commits on the way out and rolls back on an exception."""
        with Session(self.engine, expire_on_commit=False) as session:
            session.connection(execution_options={"holdfast_write": True})
            with _committing(session):
                yield session

    def _read_options(self) -> dict[str, Any]:
        if self.url.get_backend_name() == "postgresql":
            return {"isolation_level": "REPEATABLE READ"}
        return {}

    def migrate(self) -> None:
        """Bring the schema to this program's revision. Safe to call at every start."""
        command.upgrade(self._alembic(), "head")

    def ensure_current(self) -> None:
        """Raise SchemaOutdated unless the schema is exactly this program's."""
        with self.engine.connect() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
        wanted = ScriptDirectory.from_config(self._alembic()).get_current_head()
        if found != wanted:
            raise SchemaOutdated(
                f"the registry's schema is at {found or 'nothing'}, this program needs {wanted}: "
                "run `holdfast init`"
            )

    def close(self) -> None:
        """Give the pooled connections back."""
        self.engine.dispose()

    def _alembic(self) -> Config:
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.attributes["engine"] = self.engine
        return config


@contextmanager
def _committing(session: Session) -> Iterator[None]:
    try:
        yield
    except BaseException:
        session.rollback()
        raise
    session.commit()


def _engine(url: str) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True, hide_parameters=True, max_overflow=CONNECTIONS)
    # A failing statement's error names no values: they may be a document's text.
    engine = create_engine(
        url, connect_args={"timeout": SQLITE_BUSY_MS / 1000}, hide_parameters=True, max_overflow=CONNECTIONS
    )
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: DBAPIConnection, _record: object) -> None:
    # The driver's own transaction handling begins too late; `_begin_sqlite` does it instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "secure_delete=ON",  # what was erased is overwritten, not only unlinked
        f"busy_timeout={SQLITE_BUSY_MS}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:  # noqa: ANN401 - SQLAlchemy's event hands over an untyped connection
    write = connection.get_execution_options().get("holdfast_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
