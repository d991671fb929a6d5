"""The rows that one transaction touched, on disk: as they were before it and as it leaves them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from pipelines.sources.postgres.layout import PAGE
from registry.source_rows import GoneRow, KeptRow, RowChange

# `state`: before (as loaded), written, gone. `before`: the document's key that a row had when the transaction
# began; rows that it brought have none.
_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -8192;
CREATE TABLE row (
    relation TEXT, identity TEXT, link TEXT, key TEXT, label TEXT, body BLOB,
    state TEXT NOT NULL, before TEXT, PRIMARY KEY (relation, identity)
);
CREATE INDEX row_key ON row (key) WHERE relation = 'page';
CREATE INDEX row_before ON row (before) WHERE relation = 'page';
CREATE INDEX row_link ON row (relation, link);
CREATE TABLE touched_key (key TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE touched_link (link TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_LOAD = """
INSERT OR IGNORE INTO row (relation, identity, link, key, label, body, state, before)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'before', ?4)
"""
_PUT = """
INSERT INTO row (relation, identity, link, key, label, body, state) VALUES (?, ?, ?, ?, ?, ?, 'written')
ON CONFLICT DO UPDATE SET link = excluded.link, key = excluded.key, label = excluded.label,
    body = excluded.body, state = excluded.state
"""
_PRESENT = """
SELECT relation, identity, link, key, label, body FROM row
WHERE relation = ? AND identity = ? AND state != 'gone'
"""
_PAGES = """
SELECT relation, identity, link, key, label, body FROM row INDEXED BY row_key
WHERE relation = 'page' AND key = ? AND state != 'gone' LIMIT 2
"""
_SECTIONS = """
SELECT relation, identity, link, key, label, body FROM row INDEXED BY row_link
WHERE relation = 'section' AND link = ? AND state != 'gone'
"""
_WRITTEN = "SELECT relation, identity, link, key, label, body FROM row WHERE state = 'written'"
_LABEL_SECTIONS = """
UPDATE row SET label = page.label, state = 'written'
FROM (SELECT link, min(identity), label FROM row WHERE relation = 'page' AND state != 'gone' GROUP BY link) AS page
WHERE row.relation = 'section' AND row.state != 'gone' AND row.link = page.link AND row.link != ''
    AND row.label IS NOT page.label
"""
_CHUNK = 500


class Spill:
    """A temporary SQLite database, gone with the block: memory stays bounded whatever a transaction holds."""

    def __init__(self) -> None:
        # An empty name is a temporary file that SQLite itself removes.
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(_SCHEMA)
        self._database.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    # What was, and what came to pass.

    def load(self, rows: Iterable[KeptRow]) -> None:
        """Rows as they were before; those that are known already stay as they are."""
        self._database.executemany(_LOAD, map(_columns, rows))

    def bring(self, rows: Iterable[KeptRow]) -> None:
        """Rows of a table of which nothing was known; `touch_all` says so of their documents."""
        self._database.executemany(_PUT, map(_columns, rows))

    def touch_all(self) -> None:
        """Every document is to be composed."""
        self._database.execute(
            "INSERT OR IGNORE INTO touched_key SELECT key FROM row WHERE relation = 'page'"
        )

    def present(self, relation: str, identity: str) -> KeptRow | None:
        """A row as it stands so far, None where there is none."""
        found = self._database.execute(_PRESENT, (relation, identity)).fetchone()
        return None if found is None else KeptRow(*found)

    def is_known(self, relation: str, identity: str) -> bool:
        """Whether what a row was before has been loaded."""
        query = "SELECT 1 FROM row WHERE relation = ? AND identity = ?"
        return self._database.execute(query, (relation, identity)).fetchone() is not None

    def put(self, row: KeptRow) -> None:
        """A row came, or is like this now."""
        self._touch(self.present(row.relation, row.identity))
        self._touch(row)
        self._database.execute(_PUT, _columns(row))

    def remove(self, row: KeptRow) -> None:
        """A row that is present went."""
        self._touch(row)
        self._database.execute(
            "UPDATE row SET state = 'gone', body = NULL WHERE relation = ? AND identity = ?",
            (row.relation, row.identity),
        )

    def remove_all(self, relation: str, before: Iterable[KeptRow]) -> None:
        """All rows went: those that were there before, and those that came since."""
        self.load(before)
        if relation == PAGE:
            self.touch_all()
        self._database.execute(
            "INSERT OR IGNORE INTO touched_link SELECT link FROM row WHERE relation = ? AND link != ''",
            (relation,),
        )
        self._database.execute("UPDATE row SET state = 'gone', body = NULL WHERE relation = ?", (relation,))

    def _touch(self, row: KeptRow | None) -> None:
        if row is None:
            return
        if row.relation == PAGE:
            self._database.execute("INSERT OR IGNORE INTO touched_key VALUES (?)", (row.key,))
        if row.link:
            self._database.execute("INSERT OR IGNORE INTO touched_link VALUES (?)", (row.link,))

    # What that means for documents.

    def touched_links(self) -> Iterator[list[str]]:
        """Links whose pages or sections changed, a chunk at a time."""
        return self._chunks("SELECT link FROM touched_link ORDER BY link")

    def touch_pages_of_touched_links(self) -> None:
        """A page whose sections changed has changed."""
        self._database.execute(
            "INSERT OR IGNORE INTO touched_key SELECT key FROM row JOIN touched_link USING (link) "
            "WHERE relation = 'page' AND state != 'gone'"
        )

    def touched_keys(self) -> Iterator[list[str]]:
        """Keys of documents that may have changed, in order, a chunk at a time. An erased tenant's have none."""
        return self._chunks("SELECT key FROM touched_key WHERE key != '' ORDER BY key")

    def links_of_touched_pages(self) -> Iterator[list[str]]:
        """Links of the pages of these documents, a chunk at a time."""
        return self._chunks(
            "SELECT DISTINCT link FROM row JOIN touched_key USING (key) "
            "WHERE relation = 'page' AND state != 'gone' AND link != '' ORDER BY link"
        )

    def label_sections(self) -> None:
        """Sections belong to whom their page belongs."""
        self._database.execute(_LABEL_SECTIONS)

    def pages(self, key: str) -> list[KeptRow]:
        """The rows that make the document with this key; at most two of them."""
        found = (KeptRow(*row) for row in self._database.execute(_PAGES, (key,)))
        return sorted(found, key=lambda row: row.identity)

    def sections(self, link: str) -> list[KeptRow]:
        """The sections that are joined to a page by its link."""
        return [KeptRow(*found) for found in self._database.execute(_SECTIONS, (link,))]

    def was_there(self, key: str) -> bool:
        """Whether there was a document with this key before."""
        query = "SELECT 1 FROM row INDEXED BY row_before WHERE relation = 'page' AND before = ?"
        return self._database.execute(query, (key,)).fetchone() is not None

    def lacks_values(self) -> bool:
        """Whether any row stands without its values."""
        query = "SELECT 1 FROM row WHERE state != 'gone' AND body IS NULL LIMIT 1"
        return self._database.execute(query).fetchone() is not None

    def labels_without_keys(self) -> list[str | None]:
        """Tenant labels of the pages that were kept without their keys: an erased tenant's."""
        query = "SELECT DISTINCT label FROM row WHERE relation = 'page' AND key = '' AND state != 'gone'"
        return [label for (label,) in self._database.execute(query)]

    def is_empty(self) -> bool:
        """Whether none of our rows were touched."""
        return self._database.execute("SELECT 1 FROM row LIMIT 1").fetchone() is None

    def changes(self) -> Iterator[RowChange]:
        """What is to be kept and forgotten of rows."""
        for found in self._database.execute(_WRITTEN):
            yield KeptRow(*found)
        gone = "SELECT relation, identity FROM row WHERE state = 'gone' AND before IS NOT NULL"
        for relation, identity in self._database.execute(gone):
            yield GoneRow(relation, identity)

    def _chunks(self, query: str) -> Iterator[list[str]]:
        cursor = self._database.execute(query)
        while found := cursor.fetchmany(_CHUNK):
            yield [value for (value,) in found]


def _columns(row: KeptRow) -> tuple[str | bytes | None, ...]:
    return (row.relation, row.identity, row.link, row.key, row.label, row.body)
