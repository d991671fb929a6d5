"""Workers of a ledger that come and die."""

from __future__ import annotations

from gateway_client.ledger.entries import Notices
from gateway_client.ledger.transactions import Transactions
from gateway_client.store import schema


def sign_on(books: Transactions, worker: str) -> None:
    """The worker is there."""
    row = {"id": worker, "key": 1, "pid": 1, "host": "h", "address": "", "started": 0.0}
    books.database.write(lambda c: c.execute(schema.worker.insert(), row))


def dies(books: Transactions, worker: str = "w1") -> Notices:
    """The worker was there, and is not any more."""
    sign_on(books, worker)
    return books.sign_off(worker)
