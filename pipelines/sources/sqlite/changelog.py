"""The changelog that triggers fill inside the writers' own transactions."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.errors import SourceError
from pipelines.sources.sqlite.database import literal, quoted
from pipelines.sources.sqlite.mapping import Mapping, Value

TABLE = "_holdfast_changelog"
_CREATE = (
    f"CREATE TABLE IF NOT EXISTS {TABLE} (id INTEGER PRIMARY KEY AUTOINCREMENT, "
    "table_name TEXT NOT NULL, key, op TEXT NOT NULL, at TEXT NOT NULL)"
)
_NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
_INSTALLED = "install"
_IS_TABLE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
_TRIGGERS = (
    "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name GLOB '_holdfast_*' "  # noqa: S608
    f"AND instr(sql, '{TABLE}')"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the changelog as far as a position goes: its id and the trigger's time (ISO 8601, UTC)."""

    id: int
    at: str


class Changelog:
    """The changelog of one table, seen through a transaction."""

    def __init__(self, connection: sqlite3.Connection, mapping: Mapping) -> None:
        self._connection = connection
        self._mapping = mapping

    def install(self) -> None:
        """Creates what is missing and logs that it was: changes before it were not logged.

        Raises SourceError where triggers of that name do something else, or SQLite refuses triggers.
        """
        if not self._mapping.is_table:
            raise SourceError(f"{self._mapping.table} is a view, which takes no triggers: set install=false")
        missing = {name: sql for name, sql in self._triggers().items() if name not in self._present()}
        try:
            self._connection.execute(_CREATE)
            for sql in missing.values():
                self._connection.execute(sql)
        except sqlite3.OperationalError as error:
            raise SourceError(
                f"triggers cannot be installed on table {self._mapping.table}: {error}"
            ) from error
        if missing or self.newest() is None:
            self._log(_INSTALLED)

    def check(self) -> None:
        """Raises SourceError unless the changelog and its triggers are in place."""
        absent = sorted(self._triggers().keys() - self._present())
        if absent or not self._exists():
            what = ", ".join(absent) or TABLE
            raise SourceError(
                f"table {self._mapping.table} of SQLite database {self._mapping.database} has lost {what}: "
                "its changes are not logged. Remove the source and add it again with `holdfast source add`, "
                "which installs them, or set install=false to compare all rows at every read"
            )

    def newest(self) -> Entry | None:
        """The last row."""
        return self._entry("table_name = ? ORDER BY id DESC LIMIT 1", self._mapping.table)

    def continues(self, position: Entry) -> bool:
        """Whether the log since `position` is whole: not pruned, replaced, restored or interrupted."""
        emptied = position == Entry(0, "")
        if (
            not emptied
            and self._entry("table_name = ? AND id = ?", self._mapping.table, position.id) != position
        ):
            return False
        gap = ("table_name = ? AND id > ? AND op = ?", self._mapping.table, position.id, _INSTALLED)
        return self._entry(*gap) is None

    def keys_since(self, position: int) -> Iterator[Value]:
        """Distinct keys with changes after the row `position`, in no order."""
        rows = self._connection.execute(
            f"SELECT DISTINCT key FROM {TABLE} WHERE table_name = ? AND id > ?",  # noqa: S608
            (self._mapping.table, position),
        )
        return (row[0] for row in rows)

    def prune(self, position: int) -> None:
        """Deletes the rows before `position`, which itself stays: `continues` recognises it."""
        self._connection.execute(
            f"DELETE FROM {TABLE} WHERE table_name = ? AND id < ?",  # noqa: S608
            (self._mapping.table, position),
        )

    def can_prune(self, position: int) -> bool:
        """Whether there is a row before `position`."""
        return (
            self._exists()
            and self._entry("table_name = ? AND id < ?", self._mapping.table, position) is not None
        )

    def _entry(self, condition: str, *values: object) -> Entry | None:
        sql = f"SELECT id, at FROM {TABLE} WHERE {condition}"  # noqa: S608
        row = self._connection.execute(sql, values).fetchone()
        return None if row is None else Entry(*row)

    def _exists(self) -> bool:
        return self._connection.execute(_IS_TABLE, (TABLE,)).fetchone() is not None

    def _log(self, op: str) -> None:
        sql = f"INSERT INTO {TABLE} (table_name, key, op, at) VALUES (?, NULL, ?, {_NOW})"  # noqa: S608
        self._connection.execute(sql, (self._mapping.table, op))

    def _present(self) -> set[str]:
        """Our triggers on the table. Raises SourceError where one of them is not as we would write it."""
        wanted = self._triggers()
        rows = self._connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?",
            (self._mapping.table,),
        )
        present = {name: sql for name, sql in rows if name in wanted}
        for name, sql in present.items():
            if _bare(sql) != _bare(wanted[name]):
                raise SourceError(
                    f"trigger {name} of SQLite database {self._mapping.database} was made for another key "
                    f"column than {self._mapping.key}: DROP TRIGGER {quoted(name)}, then add the source again"
                )
        return set(present)

    def _triggers(self) -> dict[str, str]:
        table, key = self._mapping.table, quoted(self._mapping.key)
        moved = f"OLD.{key} COLLATE BINARY IS NOT NEW.{key}"
        actions = {
            "insert": _logging(table, f"NEW.{key}", "insert"),
            "update": _logging(table, f"OLD.{key}", "delete", moved)
            + _logging(table, f"NEW.{key}", "update"),
            "delete": _logging(table, f"OLD.{key}", "delete"),
        }
        return {
            name: f"CREATE TRIGGER {quoted(name)} AFTER {event.upper()} ON {quoted(table)} BEGIN {action} END"
            for event, action in actions.items()
            for name in [f"_holdfast_{table}_{event}"]
        }


def uninstall(connection: sqlite3.Connection, table: str) -> None:
    """Removes what `install` made for a table, and the changelog with the last table's. Absent is no error."""
    for (name,) in connection.execute(_TRIGGERS + " AND lower(tbl_name) = lower(?)", (table,)).fetchall():
        connection.execute(f"DROP TRIGGER {quoted(name)}")
    if connection.execute(_IS_TABLE, (TABLE,)).fetchone() is None:
        return
    connection.execute(f"DELETE FROM {TABLE} WHERE lower(table_name) = lower(?)", (table,))  # noqa: S608
    if connection.execute(_TRIGGERS).fetchone() is None:
        connection.execute(f"DROP TABLE {TABLE}")


def _logging(table: str, key: str, op: str, condition: str = "1") -> str:
    values = f"{literal(table)}, {key}, '{op}', {_NOW}"
    return f"INSERT INTO {TABLE} (table_name, key, op, at) SELECT {values} WHERE {condition};"


def _bare(sql: str) -> str:
    return re.sub(r"\s+", " ", sql).strip()
