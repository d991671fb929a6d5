"""Documents in the rows of a PostgreSQL table, followed by logical decoding: one transaction is one commit."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from psycopg import sql

from pipelines.errors import SourceError, SourceUnavailable
from pipelines.sources.commit_time import last_time, settle
from pipelines.sources.options import PostgresOptions
from pipelines.sources.postgres import composing
from pipelines.sources.postgres import slot as slots
from pipelines.sources.postgres.documents import Documents
from pipelines.sources.postgres.following import (
    Following,
    broken_history,
    changed_marks,
    following,
    kept_documents,
)
from pipelines.sources.postgres.installation import default_name, install, uninstall
from pipelines.sources.postgres.log_transactions import LogTransaction, transactions
from pipelines.sources.postgres.lsn import lsn_of, lsn_text
from pipelines.sources.postgres.messages import PgOutputMessage, Relation
from pipelines.sources.postgres.publication import Withheld
from pipelines.sources.postgres.row_events import NotKept, RowEvents
from pipelines.sources.postgres.server import Connection, Server, ServerState, state_of, take_as_stored
from pipelines.sources.postgres.snapshot import copy_into
from pipelines.sources.postgres.spill import Spill
from pipelines.sources.postgres.transaction import Transaction
from pipelines.sources.source import Commit, Consistency, Cursor, Heads, Probe, SlotHealth

log = logging.getLogger("holdfast.capture")

# What one call decodes at most: the server writes its answer to disk before it sends the first row.
WINDOW_BYTES = 256 * 2**20
# How much of others' log may pass before the position follows it, so that the slot lets go of it.
IDLE_BYTES = 2**20
# Acknowledging has the server read its log; between commits of one look it is done this often.
ACKNOWLEDGE_BYTES = 4 * 2**20


class PostgresSource:
    """Reads whole transactions from a replication slot. A position is where a commit ends in the log (its LSN).

    The first read, and every read after the history broke (the slot lost, a failover, a column altered), makes
    the slot anew and gives the snapshot that it begins with. Rows are kept beside the documents, so that each
    commit's documents are composed from the rows at that commit and never from a later look at the table.
    """

    consistency = Consistency.TRANSACTIONAL

    def __init__(self, uri: str, options: PostgresOptions) -> None:
        self.options = options
        self._server = Server(uri)
        self._slot = options.slot or default_name(uri, options)
        self._publication = options.publication or self._slot
        self._connection: Connection | None = None  # of the read that is under way
        self._acknowledged = 0
        self._pending = 0
        self._clock: tuple[datetime, float] | None = None  # the server's, and ours when it said so

    def now(self) -> datetime:
        """The server's clock."""
        if self._clock is None:
            with self._server.connected() as connection:
                self._look(connection)
        assert self._clock is not None
        at, mark = self._clock
        return at + timedelta(seconds=time.monotonic() - mark)

    def prepare(self) -> None:
        """What `source add` does: checks everything that capture needs and makes the publication if it is not
        there. The slot is made by the first capture, so that nothing is retained before. Raises SourceError."""
        install(self._server, self.options, self._slot, self._publication)

    def dispose(self) -> None:
        """Drops the slot, and the publication if `prepare` made it."""
        uninstall(self._server, self._slot, self._publication)

    def probe(self) -> Probe:
        """Counts the rows, and says what the slot retains. Raises SourceError where capture could not go on."""
        with self._server.connected() as connection:
            state = self._look(connection)
            table = following(connection, state, self.options, self._publication).documents.layout.page
            query = sql.SQL("SELECT count(*) AS rows FROM {}").format(
                sql.Identifier(table.schema, table.name)
            )
            found = connection.execute(query).fetchone()
            health = self._health(connection)
        note = (
            f"slot {health.name} retains {health.retained_bytes / 2**20:.1f} MB of WAL ({health.wal_status})"
            if health
            else f"the first capture makes replication slot {self._slot}"
        )
        return Probe(lsn_text(state.flushed), int(found[0]) if found else 0, self.consistency, note)

    def slot_health(self) -> SlotHealth | None:
        """What the slot holds back now, None before there is one."""
        with self._server.connected() as connection:
            return self._health(connection)

    def acknowledge(self, position: str) -> None:
        """Lets the server forget what came before. Within a read this is put off until it is worth its cost."""
        self._pending = max(self._pending, lsn_of(position))
        if self._connection is None or self._pending - self._acknowledged >= ACKNOWLEDGE_BYTES:
            self._advance()

    def read(self, cursor: Cursor | None, heads: Heads) -> Iterator[Commit]:
        """A snapshot, or the transactions since the cursor that touch a row of ours.

        A commit's changes must be read before the next is asked for. Raises SchemaDrift, once everything that
        came before it was given, where a table is no longer what the options say.
        """
        position = None if cursor is None else lsn_of(cursor.position)
        with self._server.connected() as connection:
            self._connection = connection
            try:
                if cursor is None or position is None:
                    yield from self._snapshot(connection, "", None)
                else:
                    yield from self._resume(connection, cursor, position, heads)
                self._advance()
            finally:
                self._connection = None

    def _resume(
        self, connection: Connection, cursor: Cursor, position: int, heads: Heads
    ) -> Iterator[Commit]:
        state, slot = self._look(connection), slots.slot_state(connection, self._slot)
        broken = broken_history(position, cursor.state, state, slot)
        found: Following | None = None
        drift: SourceError | None = None
        try:
            found = following(connection, state, self.options, self._publication)
        except SourceError as error:
            drift = error
        # Of two tables, one that is altered says so only where it is written to: the other goes on without it.
        abrupt = isinstance(drift, Withheld) or self.options.child_table is not None
        if broken or found is not None or abrupt:
            if drift is not None:
                raise drift
            assert found is not None
            changed = changed_marks(cursor.state, found)
            if why := broken or changed:
                yield from self._snapshot(connection, why, cursor.state)
                return
        self._acknowledged = slot.confirmed if slot else 0
        # What the cursor names is registered. A kill may have come before it was acknowledged.
        self._pending = max(self._pending, position)
        gap = ""
        try:
            yield from self._follow(cursor, position, state, heads)
        except NotKept as error:
            gap = str(error)
        except SourceUnavailable as error:
            # Before PostgreSQL 18 a publication that is gone keeps even what came before from being decoded.
            if drift is None:
                raise
            raise drift from error
        if gap:
            yield from self._snapshot(connection, gap, cursor.state)
        if drift is not None:
            raise drift

    def _follow(self, cursor: Cursor, position: int, state: ServerState, heads: Heads) -> Iterator[Commit]:
        documents = kept_documents(cursor.state, self.options)
        reached, floor = position, last_time(cursor.state)
        while reached < state.flushed:
            upto = min(reached + WINDOW_BYTES, state.flushed)
            events = RowEvents(documents.layout)
            with closing(self._messages(upto, events)) as messages:
                for transaction in transactions(messages):
                    if transaction.begin.final_lsn < reached:
                        continue
                    with Spill() as spill:
                        changed = _apply(transaction, events, Transaction(documents, heads, spill))
                        reached = transaction.position
                        if changed:
                            floor = settle(transaction.begin.committed_at, floor, self.now())
                            yield self._commit(documents, spill, reached, floor, cursor.state)
                            position = reached
            reached = max(reached, upto)
            # Of each window: what is not acknowledged is decoded again with every one that follows.
            if reached - position >= IDLE_BYTES:
                position, floor = reached, floor or state.now
                yield Commit(lsn_text(reached), floor, (), state={**cursor.state, "at": floor.isoformat()})

    def _messages(self, upto: int, events: RowEvents) -> Generator[PgOutputMessage, None, None]:
        # A connection of its own: the server sends on it while positions are acknowledged on the other. What it
        # sends is closed first: the connection would wait for the rest of it for ever.
        with (
            self._server.connected() as connection,
            closing(slots.peek(connection, self._slot, self._publication, upto)) as messages,
        ):
            take_as_stored(connection)
            first = next(messages, None)
            self._check_alone()
            for message in chain(() if first is None else (first,), messages):
                if isinstance(message, Relation):
                    events.learn(message)
                yield message

    def _check_alone(self) -> None:
        """Raises SourceUnavailable where somebody else read the slot since the look began: what they took is not
        in the answer, which was made as a whole before its first message came. The next look, with a lease of
        its own, sees whether that was a capturer."""
        assert self._connection is not None
        slot = slots.slot_state(self._connection, self._slot)
        if slot is None or slot.confirmed > self._acknowledged:
            raise SourceUnavailable(
                f"replication slot {self._slot} was read by something else during this look; the next one sees "
                "whether anything is missing"
            )

    def _snapshot(
        self, connection: Connection, why: str, before: Mapping[str, Any] | None
    ) -> Iterator[Commit]:
        if why:
            log.warning("%s: a new epoch begins with a snapshot: %s", self._slot, why)
        state = self._look(connection)
        # Before anything is dropped or made.
        layout = following(connection, state, self.options, self._publication).documents.layout
        slots.drop(connection, self._slot)
        with Spill() as spill:
            snapshot = copy_into(
                spill,
                self._server,
                self._slot,
                connection,
                layout,
                lambda asked: following(asked, state, self.options, self._publication),
            )
            self._acknowledged = snapshot.position
            now = self._look(connection).now
            at = settle(now, last_time(before or {}), now)
            kept = {**snapshot.following.as_state(), "epoch": why or "the first read"}
            yield self._commit(
                snapshot.following.documents, spill, snapshot.position, at, kept, snapshot=True
            )

    def _commit(
        self,
        documents: Documents,
        spill: Spill,
        position: int,
        at: datetime,
        state: Mapping[str, Any],
        *,
        snapshot: bool = False,
    ) -> Commit:
        return Commit(
            position=lsn_text(position),
            committed_at=at,
            changes=composing.changes(documents, spill),
            snapshot=snapshot,
            state={**state, "at": at.isoformat()},
            rows=spill.changes(),
        )

    def _advance(self) -> None:
        if self._pending <= self._acknowledged:
            return
        if self._connection is not None:
            with self._server.errors():
                slots.advance(self._connection, self._slot, self._pending)
        else:
            with self._server.connected() as connection:
                slots.advance(connection, self._slot, self._pending)
        self._acknowledged = self._pending

    def _look(self, connection: Connection) -> ServerState:
        state = state_of(connection, self._server)
        self._clock = (state.now, time.monotonic())
        return state

    def _health(self, connection: Connection) -> SlotHealth | None:
        options = self.options
        return slots.slot_health(
            connection, self._slot, options.max_retained_wal_mb, options.retained_wal_share
        )


def _apply(transaction: LogTransaction, events: RowEvents, applied: Transaction) -> bool:
    """Whether the transaction touched anything of ours. Raises SchemaDrift, NotKept."""
    for message in transaction.messages:
        if not isinstance(message, Relation):
            for event in events.events(message):
                applied.add(event)
    return applied.settle()
