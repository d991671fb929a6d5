"""A table and its sections as they stood at exactly one place in the log, copied to disk before anything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pipelines.sources.postgres.copied_rows import copied
from pipelines.sources.postgres.documents import Documents
from pipelines.sources.postgres.following import Following
from pipelines.sources.postgres.layout import PAGE, SECTION
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


def copy_into(spill: Spill, server: Server, slot: str, follow: Callable[[Connection], Following]) -> Snapshot:
    """Makes the slot and brings every row that was committed before it begins. The source's transaction lasts no
    longer than the copying. Raises SourceUnavailable, SourceError."""
    with exported(server, slot) as (position, reader):
        following = follow(reader)
        documents = following.documents
        relations = (PAGE, SECTION) if documents.layout.section else (PAGE,)
        for relation in relations:
            spill.bring(_kept(reader, documents, relation, following.filters))
    spill.touch_all()
    spill.label_sections()
    return Snapshot(position, following)


def _kept(
    reader: Connection, documents: Documents, relation: str, filters: dict[int, str]
) -> Iterator[KeptRow]:
    table = documents.layout.of(relation)
    for identity, values in copied(reader, table, filters.get(table.oid, "")):
        yield documents.kept(relation, identity, values)
