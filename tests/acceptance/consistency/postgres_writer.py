"""A wiki in a PostgreSQL table that all tenants share, written by transactions that overlap."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Mapping, Sequence

import psycopg

from tests.acceptance.consistency.history import Commit, History
from tests.acceptance.consistency.pages import Drop, Op, Page, Rename, Replace
from tests.acceptance.consistency.writer import Expected
from tests.support.logical_postgres import Database

CREATE = "CREATE TABLE wiki (key text PRIMARY KEY, tenant text, title text, body text, url text, rev integer)"
PUT = (
    "INSERT INTO wiki VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (key) DO UPDATE SET tenant = excluded.tenant, "
    "title = excluded.title, body = excluded.body, url = excluded.url, rev = excluded.rev"
)
HERE = "SELECT pg_current_wal_insert_lsn()"


class PostgresWriter:
    """Statements of different threads interleave in the log; one at a time commits, so that the order is known.

    A transaction's position lies between where the log stood before its commit and where it stood after it.
    """

    kind = "postgres"
    transactional = True

    def __init__(self, database: Database) -> None:
        self.history = History("wiki", self._place)
        self._url = database.url
        self._marks: list[tuple[int, int]] = []
        self._own = threading.local()
        self._opened: list[psycopg.Connection[tuple[object, ...]]] = []
        self._connection().execute(CREATE)
        self._connection().commit()

    @property
    def uri(self) -> str:
        return self._url

    @property
    def options(self) -> Mapping[str, str]:
        return {
            "table": "wiki", "key": "key", "title": "title", "body": "body", "url": "url", "metadata": "rev",
            "tenant_column": "tenant", "format": "plain",
        }  # fmt: skip

    def commit(self, ops: Sequence[Op], accidents: frozenset[str] = frozenset()) -> None:
        connection = self._connection()
        for op in ops:
            _apply(connection, op)
        self.history.commit(ops, lambda: self._commit(connection), accidents)

    def expected(self, page: Page) -> Expected:
        return Expected(
            page.key, page.title, page.title, page.url, {"rev": page.rev}, page.body, not page.broken
        )

    def close(self) -> None:
        for connection in self._opened:
            connection.close()

    def _connection(self) -> psycopg.Connection[tuple[object, ...]]:
        """This thread's own."""
        if not hasattr(self._own, "connection"):
            self._own.connection = psycopg.connect(self._url)
            self._opened.append(self._own.connection)
        found: psycopg.Connection[tuple[object, ...]] = self._own.connection
        return found

    def _commit(self, connection: psycopg.Connection[tuple[object, ...]]) -> str:
        before = _here(connection)
        connection.commit()
        after = _here(connection)
        connection.commit()
        self._marks.append((before, after))
        return f"{before} to {after}"

    def _place(self, commits: list[Commit], position: str) -> int | None:
        wanted = _number(position)
        following = bisect_left(self._marks, wanted, key=lambda mark: mark[1])
        if following < len(self._marks) and self._marks[following][0] < wanted:
            return following
        # Between two transactions: where a snapshot was taken.
        return following - 1 if following > 0 else None


def _here(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    row = connection.execute(HERE).fetchone()
    assert row is not None
    return _number(str(row[0]))


def _number(position: str) -> int:
    high, low = position.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def _apply(connection: psycopg.Connection[tuple[object, ...]], op: Op) -> None:
    if isinstance(op, Drop):
        connection.execute("DELETE FROM wiki WHERE key = %s", (op.key,))
        return
    page = op.page
    if isinstance(op, Rename):
        connection.execute("UPDATE wiki SET key = %s WHERE key = %s", (page.key, op.old))
    elif isinstance(op, Replace):
        connection.execute("DELETE FROM wiki WHERE key = %s", (op.old,))
    connection.execute(PUT, (page.key, page.tenant, page.title, page.body, page.url, page.rev))
