"""A wiki in an SQLite table that all tenants share, written by transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.acceptance.consistency.history import Commit, History
from tests.acceptance.consistency.pages import UNREAD, Drop, Op, Page, Rename, Replace
from tests.acceptance.consistency.writer import Expected

CREATE = "CREATE TABLE wiki (key TEXT PRIMARY KEY, tenant TEXT, title TEXT, body TEXT, url TEXT UNIQUE, rev INTEGER)"
REPLACE = "REPLACE INTO wiki VALUES (?, ?, ?, ?, ?, ?)"


class SqliteWriter:
    """A position is the number of the last row that the triggers wrote within the transaction itself.

    A row that is replaced goes without a delete trigger in every other transaction: whether it fires is the
    writer's choice (PRAGMA recursive_triggers).
    """

    kind = "sqlite"
    transactional = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.history = History("wiki", _place)
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=OFF")
        self._connection.execute(CREATE)

    @property
    def uri(self) -> str:
        return str(self.path)

    @property
    def options(self) -> Mapping[str, str]:
        return {
            "table": "wiki", "key": "key", "title": "title", "body": "body", "url": "url", "metadata": "rev",
            "tenant_column": "tenant", "format": "plain", "sweep_interval": "1000000000",
        }  # fmt: skip

    def commit(self, ops: Sequence[Op], accidents: frozenset[str] = frozenset()) -> None:
        self.history.commit(ops, lambda: self._write(ops), accidents)

    def expected(self, page: Page) -> Expected:
        return Expected(
            page.key, page.title, page.title, page.url, {"rev": page.rev}, page.body, not page.broken
        )

    def close(self) -> None:
        self._connection.close()

    def _write(self, ops: Sequence[Op]) -> str:
        self._connection.execute(f"PRAGMA recursive_triggers={len(self.history.commits) % 2}")
        self._connection.execute("BEGIN IMMEDIATE")
        for op in ops:
            self._apply(op)
        row = self._connection.execute(
            "SELECT seq FROM sqlite_sequence WHERE name = '_holdfast_changelog'"
        ).fetchone()
        self._connection.execute("COMMIT")
        return str(row[0])

    def _apply(self, op: Op) -> None:
        if isinstance(op, Drop):
            self._connection.execute("DELETE FROM wiki WHERE key = ?", (op.key,))
            return
        page = op.page
        if isinstance(op, Rename):
            self._connection.execute("UPDATE wiki SET key = ? WHERE key = ?", (page.key, op.old))
        row = (page.key, page.tenant, self._title(page), page.body, page.url, page.rev)
        if page.rev % 2 or isinstance(op, Replace):
            self._connection.execute(REPLACE, row)
        else:
            self._connection.execute(
                "INSERT INTO wiki VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (key) DO UPDATE "
                "SET tenant = ?2, title = ?3, body = ?4, url = ?5, rev = ?6",
                row,
            )

    def _title(self, page: Page) -> str:
        """Some broken pages are so to the capturer already, others only to the parser."""
        return f"{page.title}\0" if page.broken and page.title == UNREAD else page.title


def _place(commits: list[Commit], position: str) -> int | None:
    """By bisection over numbers that grow; what a sweep found (`n~m`) is at the transaction before it."""
    wanted = int(position.partition("~")[0])
    low, high = 0, len(commits)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if int(commits[middle].position) < wanted else (low, middle)
    return low if low < len(commits) and int(commits[low].position) == wanted else None
