"""The log's messages, grouped into the transactions that they tell of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pipelines.errors import SourceUnavailable
from pipelines.sources.postgres.messages import (
    Begin,
    Committed,
    Delete,
    Insert,
    PgOutputMessage,
    Relation,
    RowMessage,
    Truncate,
    Update,
)


@dataclass(slots=True)
class LogTransaction:
    """A transaction on its way past. `committed` is known once all of `messages` were taken."""

    begin: Begin
    messages: Iterator[Relation | RowMessage] = field(default_factory=lambda: iter(()))
    committed: Committed | None = None

    @property
    def position(self) -> int:
        """Where its commit ends in the log."""
        if self.committed is None:
            raise SourceUnavailable(
                "the log's output ended within a transaction; the next look reads it again"
            )
        return self.committed.end_lsn


def transactions(messages: Iterator[PgOutputMessage]) -> Iterator[LogTransaction]:
    """Transactions in commit order. What is not taken of one is passed over when the next is asked for."""
    for message in messages:
        if isinstance(message, Begin):
            transaction = LogTransaction(message)
            transaction.messages = _until_committed(messages, transaction)
            yield transaction
            for _ in transaction.messages:
                pass


def _until_committed(
    messages: Iterator[PgOutputMessage], transaction: LogTransaction
) -> Iterator[Relation | RowMessage]:
    for message in messages:
        if isinstance(message, Committed):
            transaction.committed = message
            return
        if isinstance(message, Relation | Insert | Update | Delete | Truncate):
            yield message
