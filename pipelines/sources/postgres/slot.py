"""The replication slot: made with an exact snapshot, peeked at, moved forward once the registry knows, dropped."""

from __future__ import annotations

import select
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import errors
from psycopg.pq import ExecStatus

from pipelines.errors import SourceError, SourceUnavailable
from pipelines.sources.postgres.catalog import rows
from pipelines.sources.postgres.lsn import lsn_of, lsn_text
from pipelines.sources.postgres.messages import PgOutputMessage, decode
from pipelines.sources.postgres.server import Connection, Server
from pipelines.sources.source import SlotHealth

CREATION_SECONDS = 60.0
_DROP_SECONDS = 5.0
_SLOT = """
SELECT s.plugin::text AS plugin, s.active, s.confirmed_flush_lsn::text AS confirmed, s.restart_lsn::text AS restart,
       s.wal_status::text AS wal_status, s.safe_wal_size::int8 AS safe,
       greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn), 0)::int8 AS retained,
       (SELECT setting::int8 FROM pg_settings WHERE name = 'max_slot_wal_keep_size') AS keep_mb
FROM pg_replication_slots s WHERE s.slot_name = %(name)s
"""
# The whole answer is made on the server, and the slot is free again, before the first row is sent.
_PEEK = """
SELECT data FROM pg_logical_slot_peek_binary_changes(%s, %s::pg_lsn, NULL,
    'proto_version', '1', 'publication_names', %s)
"""


@dataclass(frozen=True, slots=True)
class SlotState:
    """A slot as it is. `confirmed`: everything before was acknowledged. `lost`: the server gave it up."""

    confirmed: int
    lost: bool


@dataclass(frozen=True, slots=True)
class ExportedSnapshot:
    """A snapshot that sees exactly what was committed before `position`, as long as its slot's maker waits."""

    name: str
    position: int


def slot_state(connection: Connection, name: str) -> SlotState | None:
    """The slot, None where there is none. Raises SourceError where it was made by something else."""
    found = rows(connection, _SLOT, name=name)
    if not found:
        return None
    slot = found[0]
    if slot["plugin"] != "pgoutput":
        raise SourceError(
            f"replication slot {name} is not one of pgoutput: give the source another --option slot"
        )
    lost = slot["wal_status"] == "lost" or slot["confirmed"] is None or slot["restart"] is None
    return SlotState(0 if slot["confirmed"] is None else lsn_of(slot["confirmed"]), lost)


def slot_health(connection: Connection, name: str, max_mb: float, share: float) -> SlotHealth | None:
    """What the slot holds back, and how much of that is too much: `max_mb` MiB, or the share of the server's
    own limit where that is less."""
    found = rows(connection, _SLOT, name=name)
    if not found:
        return None
    slot = found[0]
    limit = max_mb * 2**20
    if slot["keep_mb"] is not None and slot["keep_mb"] >= 0:
        limit = min(limit, share * slot["keep_mb"] * 2**20)
    oldest = lsn_text(lsn_of(slot["restart"])) if slot["restart"] else "lost"
    return SlotHealth(
        name, slot["wal_status"] or "lost", slot["retained"] or 0, slot["safe"], int(limit), oldest
    )


@contextmanager
def created(server: Server, name: str) -> Iterator[ExportedSnapshot]:
    """Makes the slot, and keeps its snapshot open for the block. Raises SourceUnavailable, SourceError."""
    with server.replicating() as connection:
        command = f"CREATE_REPLICATION_SLOT \"{name}\" LOGICAL pgoutput (SNAPSHOT 'export')"
        if connection.info.server_version < 150000:
            command = f'CREATE_REPLICATION_SLOT "{name}" LOGICAL pgoutput EXPORT_SNAPSHOT'
        _, position, snapshot, _ = _answer(connection, command.encode())
        yield ExportedSnapshot(snapshot, lsn_of(position))


def peek(
    connection: Connection, name: str, publication: str, upto: int
) -> Generator[PgOutputMessage, None, None]:
    """The changes since the last acknowledgement, of transactions that were committed before `upto` or just
    there; they stay in the slot. One message at a time is held."""
    quoted = '"' + publication.replace('"', '""') + '"'
    with connection.cursor(binary=True) as cursor:
        for (data,) in cursor.stream(_PEEK, (name, lsn_text(upto), quoted)):
            yield decode(data)


def advance(connection: Connection, name: str, position: int) -> None:
    """Lets the server forget what was committed before `position`."""
    connection.execute("SELECT pg_replication_slot_advance(%s, %s::pg_lsn)", (name, lsn_text(position)))


def drop(connection: Connection, name: str, patience: float = _DROP_SECONDS) -> None:
    """Drops the slot if it is there. One that is in use is waited for (seconds), then ObjectInUse is raised."""
    deadline = time.monotonic() + patience
    while True:
        try:
            connection.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s",
                (name,),
            )
        except errors.UndefinedObject:
            return
        except errors.ObjectInUse:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def _answer(connection: Connection, command: bytes) -> list[str]:
    """One row of a replication command, whose wait for running transactions is limited."""
    low = connection.pgconn
    low.send_query(command)
    deadline = time.monotonic() + CREATION_SECONDS
    poll = select.poll()
    poll.register(low.socket, select.POLLIN)
    while low.is_busy():
        left = deadline - time.monotonic()
        if left <= 0:
            connection.cancel()
            connection.close()
            raise SourceUnavailable(
                f"a replication slot could not be made within {CREATION_SECONDS:.0f} s: it waits for transactions "
                "that were open when it began (see pg_stat_activity and pg_prepared_xacts); the next look tries again"
            )
        if poll.poll(min(left, 1.0) * 1000):
            low.consume_input()
    result = low.get_result()
    while low.get_result() is not None:
        pass
    if result is None or result.status != ExecStatus.TUPLES_OK:
        message = (result.error_message if result else b"").decode("utf-8", "replace")
        if (result.error_field(67) if result else b"") == b"42501":  # 67: the SQLSTATE
            raise errors.InsufficientPrivilege(message)
        raise psycopg.OperationalError(message)
    return [(result.get_value(0, column) or b"").decode() for column in range(result.nfields)]
