"""Reaching a PostgreSQL server: ordinary and replication connections, and errors without a password."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from pipelines.errors import SourceError, SourceUnavailable
from pipelines.sources.postgres.lsn import lsn_of

CONNECT_SECONDS = 10
OLDEST_VERSION = 130000
_SCHEME = re.compile(r"postgres(ql)?(\+psycopg)?://")
_SECRETS = ("password", "sslpassword")
# Values must be written alike by a snapshot's COPY and by the log's decoding, and nothing may cut either short.
_SESSION = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "xmloption": "content",
    "row_security": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
}
# A replication connection takes no statement with parameters.
_UNLIMITED = (
    b"SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('statement_timeout', 'lock_timeout', "
    b"'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout')"
)
Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """Whose log it is: the cluster, and the history (timeline) that it is on. A failover changes one of them."""

    system: str
    timeline: int


@dataclass(frozen=True, slots=True)
class ServerState:
    """A server at one moment, on its own clock. `flushed` is the end of its log."""

    identity: ServerIdentity
    version: int
    database: str
    flushed: int
    now: datetime


class Server:
    """A database behind a postgresql:// URI. Raises SourceError for any other address."""

    def __init__(self, uri: str) -> None:
        self._uri = _plain(uri)
        try:
            given = conninfo_to_dict(self._uri)
        except psycopg.Error:
            # libpq's own message would repeat the address, and the password with it.
            raise SourceError("the address is not a postgresql:// URI that libpq understands") from None
        query = unquote(self._uri.partition("?")[2])
        if secret := next((name for name in _SECRETS if f"{name}=" in query), None):
            raise SourceError(
                f"{secret} must not stand in the address's query: put the password before the @, "
                "or into a password file (passfile=…)"
            )
        self._password = str(given.get("password") or "")
        self._defaults: dict[str, Any] = {
            name: value
            for name, value in {
                "connect_timeout": CONNECT_SECONDS,
                "application_name": "holdfast",
                "keepalives_idle": 30,
                "tcp_user_timeout": 60_000,
            }.items()
            if name not in given
        } | {"client_encoding": "UTF8"}
        place = str(given.get("host") or given.get("hostaddr") or "localhost")
        port = f":{given['port']}" if str(given.get("port") or "").strip(",") else ""
        self.name = f"PostgreSQL database {given.get('dbname') or given.get('user') or ''} at {place}{port}"

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """An ordinary connection in autocommit mode. Raises SourceUnavailable, SourceError."""
        with self.errors(), psycopg.connect(self._uri, autocommit=True, **self._defaults) as connection:
            connection.execute(
                "SELECT set_config(s.name, g.value, false) FROM unnest(%s::text[], %s::text[]) AS g(name, value) "
                "JOIN pg_settings s ON lower(s.name) = lower(g.name)",
                (list(_SESSION), list(_SESSION.values())),
            )
            yield connection

    @contextmanager
    def replicating(self) -> Iterator[Connection]:
        """A connection that takes replication commands. Raises SourceUnavailable, SourceError."""
        parameters = {**self._defaults, "replication": "database"}
        with self.errors(), psycopg.connect(self._uri, autocommit=True, **parameters) as connection:
            connection.pgconn.exec_(_UNLIMITED)
            yield connection

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Whatever the server refuses in this block, as our errors: SourceUnavailable, or SourceError."""
        try:
            yield
        except errors.ObjectInUse as error:
            raise SourceUnavailable(
                f"{self.name}: another process reads the replication slot just now ({self._said(error)})"
            ) from None
        except errors.InsufficientPrivilege as error:
            raise SourceError(
                f"{self.name} does not let us: {self._said(error)}. The role needs REPLICATION, and SELECT on "
                "all rows of the tables (BYPASSRLS where they have row-level security)"
            ) from None
        except psycopg.Error as error:
            raise SourceUnavailable(f"{self.name} cannot be read: {self._said(error)}") from None

    def _said(self, error: psycopg.Error) -> str:
        text = " ".join((error.diag.message_primary or str(error) or type(error).__name__).split())
        return self.redacted(text)

    def redacted(self, text: str) -> str:
        """The text without the password, however it is spelled in the address."""
        quoted = re.search(r"://[^/@:]*:([^/@]*)@", self._uri)
        for secret in {self._password, quoted[1] if quoted else "", unquote(quoted[1]) if quoted else ""}:
            if secret:
                text = text.replace(secret, "***")
        return text


def take_as_stored(connection: Connection) -> None:
    """Has values sent as they are stored where the database does not say what its bytes mean (SQL_ASCII): else
    one value that is not UTF-8 would keep all others from being read. Only bytes may be asked for from then on."""
    if connection.info.parameter_status("server_encoding") == "SQL_ASCII":
        connection.execute("SET client_encoding TO 'SQL_ASCII'")


def state_of(connection: Connection, server: Server) -> ServerState:
    """The server as it is now. Raises SourceUnavailable while it is a standby, SourceError where it is too old."""
    version = connection.info.server_version
    if version < OLDEST_VERSION:
        raise SourceError(f"{server.name} is version {version // 10000}: logical capture needs 13 or newer")
    if _one(connection, "SELECT pg_is_in_recovery()")[0]:
        raise SourceUnavailable(f"{server.name} is a standby (in recovery): capture reads the primary")
    row = _one(
        connection,
        "SELECT (SELECT system_identifier FROM pg_control_system())::text, "
        "pg_walfile_name(pg_current_wal_lsn()), current_database()::text, "
        "pg_current_wal_flush_lsn()::text, extract(epoch FROM clock_timestamp())::float8",
    )
    system, wal_file, database, flushed, now = row
    return ServerState(
        ServerIdentity(system, int(wal_file[:8], 16)),
        version,
        database,
        lsn_of(flushed),
        datetime.fromtimestamp(now, UTC),
    )


def _one(connection: Connection, query: str) -> tuple[Any, ...]:
    row = connection.execute(query).fetchone()
    if row is None:
        raise SourceUnavailable("the server answered nothing")
    return tuple(row)


def _plain(uri: str) -> str:
    match = _SCHEME.match(uri)
    if match is None:
        raise SourceError("a postgres source's address is postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    address = uri[match.end() :]
    credentials, at, rest = address.partition("@")
    # libpq takes what comes before the first @ for them, unless there is a / in it; what it takes for a host
    # or a database it tells, and that could be the end of a password.
    if "@" in (address if "/" in credentials or not at else rest).partition("?")[0]:
        raise SourceError(
            "the address holds an @ too many, or a / before it: within a user's name or password write "
            "@ as %40, / as %2F, : as %3A, ? as %3F, # as %23, % as %25"
        )
    return f"postgresql://{address}"
