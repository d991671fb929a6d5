"""The documents of a table as they stand in one read transaction."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator

from pipelines.sources.fingerprint import fingerprint
from pipelines.sources.source import Change, Delete, Heads, Unreadable, Upsert
from pipelines.sources.sqlite.database import quoted
from pipelines.sources.sqlite.mapping import Mapping, Row, Value, document_key, key_text
from pipelines.sources.storable import stand_in, text_flaw

# Rows without a key are one unreadable document, under a key that no row can have.
KEYLESS = stand_in("\x00 rows without a key")


class Rows:
    """Reads through a connection in a transaction, lazily: the transaction must outlive the iterators."""

    def __init__(self, connection: sqlite3.Connection, mapping: Mapping) -> None:
        self._connection = connection
        self._mapping = mapping
        self._key = quoted(mapping.key)
        self._table = quoted(mapping.table)

    def all(self) -> Iterator[Upsert | Unreadable]:
        """Every document, one change a key."""
        ambiguous = self._ambiguous()
        for row in self._connection.execute(f"{self._mapping.select()} WHERE {self._key} IS NOT NULL"):
            change = self._mapping.change(row)
            if change.key not in ambiguous:
                yield change
        for key, count in ambiguous.items():
            yield _not_unique(key, count)
        if keyless := self._keyless():
            yield keyless

    def count(self) -> int:
        """Rows."""
        row = self._connection.execute(f"SELECT count(*) FROM {self._table}").fetchone()  # noqa: S608
        return int(row[0])

    def keyed(self) -> int:
        """Rows that have a key."""
        where = f"FROM {self._table} WHERE {self._key} IS NOT NULL"
        return int(self._connection.execute(f"SELECT count(*) {where}").fetchone()[0])

    def accounts_for(self, keys: Iterable[Value], heads: Heads, before: int | None) -> bool:
        """Whether what became of the rows with these keys explains how many there are, after `before` of them.

        It does not where a row went without a trigger; nor, now and then, where a key is known to nobody.
        """
        if before is None:
            return False
        for key, same in _by_document(keys).items():
            if key != KEYLESS:
                found = sum(len(self._matching(value)) for value in same)
                before += found - (heads.fingerprint(key) is not None)
        return before == self.keyed()

    def differences(self, heads: Heads) -> Iterator[Change]:
        """What turns the state that is known into the table's, by comparing every row."""
        seen: set[str] = set()
        for change in self.all():
            seen.add(change.key)
            if heads.fingerprint(change.key) != fingerprint(change):
                yield change
        for key in list(heads.keys()):
            if key not in seen:
                yield Delete(key)

    def touched(self, keys: Iterable[Value], heads: Heads) -> Iterator[Change]:
        """What became of the rows with these keys; nothing where all is as it is known."""
        for key, same in _by_document(keys).items():
            change = self._keyless() if key == KEYLESS else self._row(key, same)
            known = heads.fingerprint(key)
            if change is None:
                if known is not None:
                    yield Delete(key)
            elif fingerprint(change) != known:
                yield change

    def _row(self, key: str, values: list[Value]) -> Upsert | Unreadable | None:
        found = [row for value in values for row in self._matching(value)]
        if len(found) > 1:
            return _not_unique(key, len(found))
        return self._mapping.change(found[0]) if found else None

    def _matching(self, value: Value) -> list[Row]:
        # The first comparison uses the index under the column's collation; the second is exact.
        where = f"WHERE {self._key} = ? AND {self._key} = ? COLLATE BINARY"
        if isinstance(value, str) and text_flaw(value):  # text that is not UTF-8 cannot be bound as text
            value = value.encode("utf-8", "surrogateescape")
            where = where.replace("?", "CAST(? AS TEXT)")
        return self._connection.execute(f"{self._mapping.select()} {where}", (value, value)).fetchall()

    def _ambiguous(self) -> dict[str, int]:
        """Keys that several rows have as text. Mixed types may: 1 and '1' are two values of one text."""
        where = f"FROM {self._table} WHERE {self._key} IS NOT NULL"
        if self._mapping.exact:
            kinds = self._connection.execute(f"SELECT count(DISTINCT typeof({self._key})) {where}").fetchone()
            if kinds[0] <= 1:
                return {}
        names = self._connection.execute(f"SELECT {self._key} {where}")
        counts = Counter(document_key(key_text(row[0])) for row in names)
        return {key: count for key, count in counts.items() if count > 1}

    def _keyless(self) -> Unreadable | None:
        sql = f"SELECT count(*) FROM {self._table} WHERE {self._key} IS NULL"  # noqa: S608
        count = self._connection.execute(sql).fetchone()[0]
        return Unreadable(KEYLESS, f"{count} rows have no key") if count else None


def _by_document(keys: Iterable[Value]) -> dict[str, list[Value]]:
    values: dict[str, list[Value]] = {}
    for value in keys:
        values.setdefault(KEYLESS if value is None else document_key(key_text(value)), []).append(value)
    return values


def _not_unique(key: str, count: int) -> Unreadable:
    return Unreadable(key, f"{count} rows have this key; keys must be unique")
