"""A table and its sections as they stood at exactly one place in the log, copied to disk before anything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import sql

from pipelines.errors import SchemaDrift, SourceUnavailable
from pipelines.sources.postgres.copied_rows import copied
from pipelines.sources.postgres.documents import Documents
from pipelines.sources.postgres.following import Following
from pipelines.sources.postgres.layout import PAGE, SECTION, Layout, TableLayout
from pipelines.sources.postgres.server import Connection, Server
from pipelines.sources.postgres.slot import created
from pipelines.sources.postgres.spill import Spill
from registry.source_rows import KeptRow


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Where in the log it stands, and as what the tables were found there."""

    position: int
    following: Following


@contextmanager
def exported(server: Server, slot: str) -> Iterator[tuple[int, Connection]]:
    """Makes the slot; gives the place in the log where it begins, and a transaction that sees what was before."""
    with server.connected() as reader:
        with created(server, slot) as snapshot:
            reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            reader.execute(f"SET TRANSACTION SNAPSHOT '{snapshot.name}'")
        yield snapshot.position, reader
        reader.execute("COMMIT")


def copy_into(
    spill: Spill,
    server: Server,
    slot: str,
    connection: Connection,
    layout: Layout,
    follow: Callable[[Connection], Following],
) -> Snapshot:
    """Makes the slot and brings every row that was committed before it begins. The source's transaction lasts no
    longer than the copying. `connection` is another, which saw the tables as `layout` says. Raises
    SourceUnavailable, SourceError."""
    relations = (PAGE, SECTION) if layout.section else (PAGE,)
    with exported(server, slot) as (position, reader):
        for relation in relations:
            _hold(reader, layout.of(relation))
        following = _unchanged(follow, reader, connection)
        for relation in relations:
            spill.bring(_kept(reader, following.documents, relation, following.filters))
    spill.touch_all()
    spill.label_sections()
    return Snapshot(position, following)


def _hold(reader: Connection, table: TableLayout) -> None:
    """Nobody rewrites, empties or alters the table from here on until it is copied."""
    name = sql.Identifier(table.schema, table.name)
    reader.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(name))


def _unchanged(
    follow: Callable[[Connection], Following], reader: Connection, connection: Connection
) -> Following:
    """How the tables were when the snapshot began, which must be how they are now: one that was rewritten or
    emptied since is empty to an older snapshot, and that is no deletion. Raises SourceUnavailable, SourceError."""
    now = follow(connection)
    try:
        then = follow(reader)
    except SchemaDrift:  # half of the catalog is shown as it is now, whatever the snapshot
        then = None
    if then is None or (then.marks, then.files) != (now.marks, now.files):
        raise SourceUnavailable(
            f"table {now.documents.layout.page.spelled}, its sections' or the publication was altered, rewritten "
            "or emptied just while the snapshot began; the next look takes another"
        )
    return then


def _kept(
    reader: Connection, documents: Documents, relation: str, filters: dict[int, str]
) -> Iterator[KeptRow]:
    table = documents.layout.of(relation)
    for identity, values in copied(reader, table, filters.get(table.oid, "")):
        yield documents.kept(relation, identity, values)
