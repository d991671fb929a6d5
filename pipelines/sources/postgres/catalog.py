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
from pipelines.sources.postgres.joining import check_sections
from pipelines.sources.postgres.layout import Layout, TableLayout, page_columns, section_columns
from pipelines.sources.postgres.server import Connection

_TABLE = """
SELECT c.oid::int8 AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
       c.relpersistence::text AS persistence, c.relreplident::text AS identity,
       c.relfilenode::int8 AS file, c.xmin::text AS changed,
       ARRAY(SELECT a.relid::oid::int8 FROM pg_partition_ancestors(c.oid) a WHERE a.relid != c.oid) AS ancestors,
       has_table_privilege(c.oid, 'SELECT') AS readable,
       EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid) AS has_children
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = ANY(%(names)s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND (c.relname = %(named)s AND pg_table_is_visible(c.oid) OR n.nspname || '.' || c.relname = %(named)s)
"""
# `type` is what lies under a domain: that says how a value is written.
_COLUMNS = """
SELECT a.attname::text AS name, a.attnum, a.atttypid::int8 AS declared, a.atttypmod, a.xmin::text AS changed, (
    WITH RECURSIVE under(oid, depth) AS (
        SELECT a.atttypid, 0
        UNION ALL
        SELECT t.typbasetype, depth + 1 FROM under JOIN pg_type t USING (oid) WHERE t.typtype = 'd'
    ) SELECT oid::int8 FROM under ORDER BY depth DESC LIMIT 1
) AS type
FROM pg_attribute a WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
# An enum's value that is renamed, or a composite's attribute, changes how every row is written.
_TYPES = """
WITH RECURSIVE used(oid) AS (
    SELECT unnest(%(types)s::int8[]::oid[])
    UNION
    SELECT part.oid FROM used JOIN pg_type t USING (oid) CROSS JOIN LATERAL (
        VALUES (t.typbasetype), (t.typelem) UNION ALL SELECT rngsubtype FROM pg_range WHERE rngtypid = t.oid
        UNION ALL SELECT atttypid FROM pg_attribute WHERE attrelid = t.typrelid AND attnum > 0
    ) AS part(oid) WHERE part.oid != 0
)
SELECT e.enumtypid::int8 AS type, e.oid::int8 AS part, e.xmin::text AS changed
FROM used JOIN pg_enum e ON e.enumtypid = used.oid
UNION ALL
SELECT t.oid::int8, a.attnum, a.xmin::text
FROM used JOIN pg_type t USING (oid) JOIN pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0
ORDER BY 1, 2
"""
_FIRST_OF_USERS = 16384  # PostgreSQL's own types have lower OIDs
# Unique, over columns that are never NULL, checked at once, of all rows: what an identity must be.
_INDEXES = """
SELECT i.indisprimary AS primary, i.indisreplident AS chosen,
       coalesce(c.oid, i.indexrelid)::int8 AS made,
       array_agg(a.attname::text ORDER BY k.place) AS columns
FROM pg_index i
CROSS JOIN LATERAL unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k(attnum, place)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
LEFT JOIN pg_constraint c ON c.conrelid = i.indrelid AND c.conindid = i.indexrelid AND c.contype IN ('p', 'u')
WHERE i.indrelid = %(oid)s AND i.indisunique AND i.indisvalid AND i.indimmediate
  AND i.indpred IS NULL AND i.indexprs IS NULL
GROUP BY i.indexrelid, i.indisprimary, i.indisreplident, c.oid
HAVING bool_and(a.attnotnull)
ORDER BY i.indisprimary DESC, i.indexrelid
"""
_LEAVES = """
SELECT c.oid::int8 AS oid, c.relname::text AS name, c.relfilenode::int8 AS file, c.relreplident::text AS identity,
       c.relkind = 'r' AND c.relpersistence = 'p' AS logged
FROM pg_partition_tree(%(oid)s::oid) t JOIN pg_class c ON c.oid = t.relid WHERE t.isleaf ORDER BY c.oid
"""
_KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}


@dataclass(frozen=True, slots=True)
class DescribedTable:
    """A table's layout, and fingerprints of what, once it changed, makes what is kept of its rows untrue.

    `files`: where its rows are, by table OID, its partitions' included. `changed` is another whenever its own
    entry in the catalog is (its schema, persistence or file).
    """

    layout: TableLayout
    partitioned: bool
    columns: str
    identity: str
    partitions: str
    files: dict[int, int]
    changed: str


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
    if section is not None:
        if section.oid == page.layout.oid:
            raise SourceError(
                "child_table is the table of the documents itself: sections need one of their own"
            )
        check_sections(page.layout, section, options)
    return Layout(database, page.layout, section), tables


def described_table(connection: Connection, named: str, wanted: Sequence[str]) -> DescribedTable:
    """One table with the columns that are wanted of it. Raises as `describe`."""
    parts = named.split(".")  # a dot may also be part of a name
    names = [".".join(parts[at:]) for at in range(len(parts))]
    found = rows(connection, _TABLE, named=named, names=names)
    if len(found) > 1:
        raise SourceError(f"{named!r} names {len(found)} tables: a dot in a name stands for another's schema")
    if not found:
        raise SchemaDrift(
            f"there is no table {named!r}: it was dropped or renamed, or its schema is not in the role's search "
            "path (write schema.table). What is captured stays"
        )
    table = found[0]
    _check_kind(named, table)
    columns = {column["name"]: column for column in rows(connection, _COLUMNS, oid=table["oid"])}
    check_columns(named, wanted, list(columns))
    index = _identity(connection, named, table)
    identity = tuple(index["columns"])
    leaves = rows(connection, _LEAVES, oid=table["oid"]) if table["kind"] == "p" else []
    _check_partitions(named, leaves, by_primary_key=index["primary"])
    followed = [columns[name] for name in dict.fromkeys((*identity, *wanted))]
    layout = TableLayout(
        table["oid"], table["schema"], table["name"], identity, tuple(wanted),
        tuple(columns[name]["type"] for name in wanted), tuple(columns[name]["declared"] for name in wanted),
        tuple(table["ancestors"]),
    )  # fmt: skip
    return DescribedTable(
        layout,
        table["kind"] == "p",
        marked([[table["oid"]], *(list(column.values()) for column in followed), *_types(connection, followed)]),
        # Without its index rows could be alike for a while.
        marked([table["identity"], list(identity), index["made"]]),
        # Emptying, attaching or detaching a partition is not in the log of its parent.
        marked([[leaf["oid"], leaf["file"]] for leaf in leaves]),
        {one["oid"]: one["file"] for one in (table, *leaves)},
        table["changed"],
    )  # fmt: skip


def _types(connection: Connection, columns: Sequence[dict[str, Any]]) -> list[list[object]]:
    """What changes when a type that is not built in writes its values otherwise."""
    own = [column["declared"] for column in columns if column["declared"] >= _FIRST_OF_USERS]
    return [list(part.values()) for part in rows(connection, _TYPES, types=own)] if own else []


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


def _check_partitions(named: str, leaves: Sequence[dict[str, Any]], *, by_primary_key: bool) -> None:
    """Raises SchemaDrift for partitions whose changes the log leaves out, or tells by other columns."""
    if silent := [leaf["name"] for leaf in leaves if not leaf["logged"]]:
        raise SchemaDrift(
            f"partition {', '.join(silent)} of table {named} is unlogged or foreign: its changes are not in the "
            "log. ALTER TABLE … SET LOGGED, or detach it"
        )
    # The parent's replica identity is not its partitions'.
    needed = ("d", "f") if by_primary_key else ("f",)
    if wrong := [leaf["name"] for leaf in leaves if leaf["identity"] not in needed]:
        raise SchemaDrift(
            f"partition {', '.join(wrong)} of table {named} does not tell its rows apart by the columns that the "
            f"table does: ALTER TABLE … REPLICA IDENTITY {'DEFAULT' if by_primary_key else 'FULL'} for each of them"
        )


def _identity(connection: Connection, named: str, table: dict[str, Any]) -> dict[str, Any]:
    """The index whose columns tell a row apart, and that every update and deletion in the log carries."""
    indexes = rows(connection, _INDEXES, oid=table["oid"])
    kind = table["identity"]
    usable = {
        "d": [index for index in indexes if index["primary"]],
        "i": [index for index in indexes if index["chosen"]],
        "f": indexes,
    }.get(kind, [])
    if usable:
        return usable[0]
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
