"""What the server's catalog says of a source's tables: whether their changes can be followed, and as what."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.rows import dict_row

from pipelines.errors import SchemaDrift, SourceError
from pipelines.sources.options import PostgresOptions
from pipelines.sources.postgres.layout import Layout, TableLayout, page_columns, section_columns
from pipelines.sources.postgres.server import Connection

_TABLE = """
SELECT c.oid::int8 AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
       c.relpersistence::text AS persistence, c.relreplident::text AS identity,
       has_table_privilege(c.oid, 'SELECT') AS readable,
       EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid) AS has_children
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = %(name)s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND CASE WHEN %(schema)s::text IS NULL THEN pg_table_is_visible(c.oid) ELSE n.nspname = %(schema)s END
"""
_COLUMNS = """
SELECT attname::text AS name, attnum, atttypid::int8 AS type, atttypmod, xmin::text AS changed
FROM pg_attribute WHERE attrelid = %(oid)s AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
# Unique, over columns that are never NULL, checked at once, of all rows: what an identity must be.
_INDEXES = """
SELECT i.indisprimary AS primary, i.indisreplident AS chosen,
       array_agg(a.attname::text ORDER BY k.place) AS columns
FROM pg_index i
CROSS JOIN LATERAL unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k(attnum, place)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = %(oid)s AND i.indisunique AND i.indisvalid AND i.indimmediate
  AND i.indpred IS NULL AND i.indexprs IS NULL
GROUP BY i.indexrelid, i.indisprimary, i.indisreplident
HAVING bool_and(a.attnotnull)
ORDER BY i.indisprimary DESC, i.indexrelid
"""
_LEAVES = """
SELECT c.oid::int8 AS oid, c.relfilenode::int8 AS file, c.relreplident::text AS identity
FROM pg_partition_tree(%(oid)s::oid) t JOIN pg_class c ON c.oid = t.relid WHERE t.isleaf ORDER BY c.oid
"""
_KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}


@dataclass(frozen=True, slots=True)
class DescribedTable:
    """A table's layout, and fingerprints of what, once it changed, makes what is kept of its rows untrue."""

    layout: TableLayout
    partitioned: bool
    columns: str
    identity: str
    partitions: str


def describe(
    connection: Connection, database: str, options: PostgresOptions
) -> tuple[Layout, list[DescribedTable]]:
    """The tables as they are now. Raises SchemaDrift where a table or column is missing or has no identity,
    SourceError for what can never be followed (a view, an unlogged table)."""
    page = described_table(connection, options.table, page_columns(options))
    tables = [page]
    if options.child_table is not None:
        tables.append(described_table(connection, options.child_table, section_columns(options)))
    section = tables[1].layout if len(tables) > 1 else None
    if section is not None and section.oid == page.layout.oid:
        raise SourceError("child_table is the table of the documents itself: sections need one of their own")
    return Layout(database, page.layout, section), tables


def described_table(connection: Connection, named: str, wanted: Sequence[str]) -> DescribedTable:
    """One table with the columns that are wanted of it. Raises as `describe`."""
    schema, _, name = named.rpartition(".")
    found = rows(connection, _TABLE, name=name, schema=schema or None)
    if not found:
        raise SchemaDrift(
            f"there is no table {named!r}: it was dropped or renamed, or its schema is not in the role's search "
            "path (write schema.table). What is captured stays"
        )
    table = found[0]
    _check_kind(named, table)
    columns = {column["name"]: column for column in rows(connection, _COLUMNS, oid=table["oid"])}
    check_columns(named, wanted, list(columns))
    identity = _identity(connection, named, table)
    leaves = rows(connection, _LEAVES, oid=table["oid"]) if table["kind"] == "p" else []
    if bad := [leaf for leaf in leaves if leaf["identity"] not in "df"]:
        raise SchemaDrift(
            f"{len(bad)} partitions of table {named} have replica identity nothing or an index of their own: "
            "give them the default (ALTER TABLE … REPLICA IDENTITY DEFAULT)"
        )
    layout = TableLayout(
        table["oid"], table["schema"], table["name"], identity, tuple(wanted),
        tuple(columns[name]["type"] for name in wanted),
    )  # fmt: skip
    return DescribedTable(
        layout,
        table["kind"] == "p",
        marked([[table["oid"]], *(list(columns[name].values()) for name in wanted)]),
        marked([table["identity"], list(identity)]),
        # Emptying, attaching or detaching a partition is not in the log of its parent.
        marked([[leaf["oid"], leaf["file"]] for leaf in leaves]),
    )


def check_columns(table: str, wanted: Sequence[str], present: Sequence[str], when: str = "") -> None:
    """Raises SchemaDrift naming the columns that are not there."""
    missing = [name for name in wanted if name not in present]
    if missing:
        raise SchemaDrift(
            f"table {table} has no column {', '.join(map(repr, missing))}{when}; it has {', '.join(present)}. "
            "Nothing more is captured until the table has it again, or the source's options name another column "
            "(`holdfast source set`); nothing is lost: capture goes on from a snapshot then"
        )


def _check_kind(named: str, table: dict[str, Any]) -> None:
    if kind := _KINDS.get(table["kind"]):
        raise SourceError(f"{named} is {kind}: its changes are not in the log. Name the table under it")
    if table["persistence"] != "p":
        raise SourceError(f"table {named} is temporary or unlogged: its changes are not in the log")
    if table["kind"] == "r" and table["has_children"]:
        raise SourceError(
            f"table {named} is inherited from by other tables, whose rows the log does not call its own: "
            "partition it, or name a table that nothing inherits from"
        )
    if not table["readable"]:
        raise SourceError(f"the role may not read table {named}: GRANT SELECT ON {named} TO it")


def _identity(connection: Connection, named: str, table: dict[str, Any]) -> tuple[str, ...]:
    """The columns that tell a row apart, and that every update and deletion in the log carries."""
    indexes = rows(connection, _INDEXES, oid=table["oid"])
    kind = table["identity"]
    usable = {
        "d": [index for index in indexes if index["primary"]],
        "i": [index for index in indexes if index["chosen"]],
        "f": indexes,
    }.get(kind, [])
    if usable:
        return tuple(usable[0]["columns"])
    wanting = {
        "n": "has replica identity nothing",
        "d": "has no primary key",
        "i": "has lost the index of its replica identity",
        "f": "has neither a primary key nor a unique index over columns that are NOT NULL",
    }[kind]
    raise SchemaDrift(
        f"table {named} {wanting}, so its updates and deletions could not be told apart (and PostgreSQL refuses "
        "them to everybody once the table is published): add a primary key, or ALTER TABLE … REPLICA IDENTITY "
        "USING INDEX a unique index over columns that are NOT NULL"
    )


def rows(connection: Connection, query: str, **parameters: object) -> list[dict[str, Any]]:
    """What a catalog query finds, by column name."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, parameters).fetchall()


def marked(value: object) -> str:
    """16 hex digits that change when a JSON-able value does."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
