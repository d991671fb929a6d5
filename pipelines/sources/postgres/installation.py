"""What a source makes at its server when it is added, and takes away when it is removed."""

from __future__ import annotations

import hashlib

from pipelines.errors import SchemaDrift, SourceError, SourceUnavailable
from pipelines.sources.options import PostgresOptions
from pipelines.sources.postgres import publication, slot
from pipelines.sources.postgres.catalog import describe, rows
from pipelines.sources.postgres.following import following
from pipelines.sources.postgres.server import Connection, Server, state_of


def install(server: Server, options: PostgresOptions, slot_name: str, published: str) -> None:
    """Checks everything that capture needs, then makes the publication if there is none. Raises SourceError."""
    try:
        with server.connected() as connection:
            _install(connection, server, options, slot_name, published)
    except SchemaDrift as wrong:  # nothing drifted: the options never fitted
        raise SourceError(str(wrong)) from None


def uninstall(server: Server, slot_name: str, published: str) -> None:
    """Drops the slot, and the publication if `install` made it; what is gone already is no error."""
    with server.connected() as connection:
        slot.drop(connection, slot_name)
        publication.drop_own(connection, published, slot_name)


def default_name(uri: str, options: PostgresOptions) -> str:
    """A name for slot and publication where the options give none: the same for the same tables and key."""
    place = uri.rpartition("@")[2]
    meant = f"{place} {options.table} {options.key} {options.child_table}"
    return f"holdfast_{hashlib.sha256(meant.encode()).hexdigest()[:16]}"


def _install(
    connection: Connection, server: Server, options: PostgresOptions, slot_name: str, published: str
) -> None:
    state = state_of(connection, server)
    _, tables = describe(connection, state.database, options)
    _check_server(connection, server)
    if slot.slot_state(connection, slot_name) is not None:
        raise SourceError(
            f"there is a replication slot {slot_name} already, and this source would replace it: drop it "
            f"(SELECT pg_drop_replication_slot('{slot_name}')) or give another --option slot=…"
        )
    publication.create(connection, published, slot_name, tables)
    try:
        following(connection, state, options, published)
    except SourceError:
        publication.drop_own(connection, published, slot_name)
        raise


def _check_server(connection: Connection, server: Server) -> None:
    setting = "SELECT setting FROM pg_settings WHERE name = 'wal_level'"
    level = rows(connection, setting)[0]["setting"]
    if level != "logical":
        raise SourceError(
            f"{server.name} has wal_level={level}: set wal_level = logical and restart the server"
        )
    try:
        with server.replicating() as replicating:
            replicating.pgconn.exec_(b"IDENTIFY_SYSTEM")
    except SourceUnavailable as error:
        raise SourceError(
            f"a replication connection is refused, where an ordinary one is not: {error}. The role needs "
            "REPLICATION (ALTER ROLE … REPLICATION), and pg_hba.conf a line that lets it in"
        ) from None
