"""The publication: which changes of which tables the log's decoding gives out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import errors, sql

from pipelines.errors import SchemaDrift, SourceError
from pipelines.sources.postgres.catalog import DescribedTable, marked, rows
from pipelines.sources.postgres.server import Connection

_PUBLICATION = """
SELECT oid::int8 AS oid, xmin::text AS changed, pubviaroot AS via_root,
       pubinsert AND pubupdate AND pubdelete AND pubtruncate AS whole,
       coalesce(obj_description(oid, 'pg_publication'), '') AS comment
FROM pg_publication WHERE pubname = %(name)s
"""
_MEMBER = """
SELECT {columns} FROM pg_publication_tables t
WHERE t.pubname = %(name)s AND t.schemaname = %(schema)s AND t.tablename = %(table)s
"""
_NAMED = """
SELECT prrelid::int8 AS oid FROM pg_publication_rel
WHERE prpubid = %(publication)s::oid AND prrelid = ANY(%(tables)s::int8[]::oid[])
"""
_MEMBERSHIP = "SELECT oid::int8 AS oid, xmin::text AS changed FROM {catalog} ORDER BY oid"


class Withheld(SchemaDrift):
    """The publication leaves changes out. What the log gives of a transaction may be half of it."""


@dataclass(frozen=True, slots=True)
class Publication:
    """A publication that gives out all changes of a source's tables. `filters`: table OID to a row filter."""

    name: str
    mark: str
    filters: dict[int, str]


def create(connection: Connection, name: str, slot: str, tables: list[DescribedTable]) -> None:
    """Makes the publication, for this slot, unless there is one of this name. Raises SourceError if not allowed."""
    if rows(connection, _PUBLICATION, name=name):
        return
    members = [sql.Identifier(table.layout.schema, table.layout.name) for table in tables]
    statement = sql.SQL("CREATE PUBLICATION {} FOR TABLE {} WITH (publish_via_partition_root = true)").format(
        sql.Identifier(name), sql.SQL(", ").join(members)
    )
    comment = sql.SQL("COMMENT ON PUBLICATION {} IS {}").format(sql.Identifier(name), _comment(slot))
    try:
        with connection.transaction():
            connection.execute(statement)
            connection.execute(comment)
    except errors.InsufficientPrivilege as error:
        raise SourceError(
            f"the role may not make a publication ({error.diag.message_primary}): let the tables' owner run "
            f"`{statement.as_string(connection)};` and give --option publication={name}"
        ) from None


def check(connection: Connection, name: str, tables: list[DescribedTable]) -> Publication:
    """The publication as it is now. Raises Withheld where it leaves out anything that is needed."""
    found = rows(connection, _PUBLICATION, name=name)
    if not found:
        raise Withheld(f"there is no publication {name!r}: CREATE PUBLICATION {name} FOR TABLE …")
    publication = found[0]
    if not publication["whole"]:
        raise Withheld(
            f"publication {name} leaves out some kinds of changes, which would be lost: ALTER PUBLICATION {name} "
            "SET (publish = 'insert, update, delete, truncate')"
        )
    members = {table.layout.oid: _member(connection, publication, name, table) for table in tables}
    filters = {oid: member["rowfilter"] for oid, member in members.items() if member["rowfilter"]}
    mark = marked([publication["oid"], publication["changed"], _memberships(connection, publication["oid"], tables),
                   sorted(filters.items())])  # fmt: skip
    return Publication(name, mark, filters)


def drop_own(connection: Connection, name: str, slot: str) -> None:
    """Drops the publication if `create` made it for this slot."""
    found = rows(connection, _PUBLICATION, name=name)
    if found and found[0]["comment"] == _comment(slot):
        connection.execute(sql.SQL("DROP PUBLICATION {}").format(sql.Identifier(name)))


def _comment(slot: str) -> str:
    return f"made by Holdfast for replication slot {slot}"


def _member(
    connection: Connection, publication: dict[str, Any], name: str, table: DescribedTable
) -> dict[str, Any]:
    if table.partitioned and not publication["via_root"]:
        raise Withheld(
            f"publication {name} gives out partitions under their own names: ALTER PUBLICATION {name} SET "
            "(publish_via_partition_root = true)"
        )
    modern = connection.info.server_version >= 150000
    columns = "attnames::text[] AS columns, rowfilter" if modern else "NULL AS columns, NULL AS rowfilter"
    layout = table.layout
    found = rows(
        connection, _MEMBER.format(columns=columns), name=name, schema=layout.schema, table=layout.name
    )
    if not found:
        raise Withheld(
            f"publication {name} does not hold table {layout.spelled}: ALTER PUBLICATION {name} ADD TABLE "
            f"{layout.spelled}"
        )
    needed = (*layout.identity, *layout.columns)
    absent = [one for one in needed if found[0]["columns"] is not None and one not in found[0]["columns"]]
    if absent:
        raise Withheld(
            f"publication {name} leaves column {', '.join(absent)} of table {layout.spelled} out (a column list, "
            "or a generated column): it must be given out"
        )
    return found[0]


def _memberships(connection: Connection, oid: int, tables: list[DescribedTable]) -> list[object]:
    """What changes when a table was taken out and put back: changes in between are nowhere in the log's output.

    A table that is in a publication by its schema, or with all others, leaves it by another schema's name or
    as an unlogged table: any change of its own entry in the catalog counts.
    """
    catalogs = [
        "pg_publication_rel WHERE prpubid = %(publication)s::oid AND prrelid = ANY(%(tables)s::int8[]::oid[])"
    ]
    if connection.info.server_version >= 150000:
        catalogs.append("pg_publication_namespace WHERE pnpubid = %(publication)s::oid")
    given = {"publication": oid, "tables": [table.layout.oid for table in tables]}
    found: list[object] = [
        list(row.values())
        for catalog in catalogs
        for row in rows(connection, _MEMBERSHIP.format(catalog=catalog), **given)
    ]
    named = {row["oid"] for row in rows(connection, _NAMED, **given)}
    return found + [table.changed for table in tables if table.layout.oid not in named]
