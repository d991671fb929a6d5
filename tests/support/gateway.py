"""Short ways to speak to a ledger."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from gateway_client.ledger.entries import Ask, CallRow, Effect, Settlement, new_id
from gateway_client.ledger.transactions import Transactions
from gateway_client.messages import Usage
from gateway_client.store import schema

ANSWERED = Effect("answered", 0.1)


def call_row(**changes: Any) -> CallRow:
    """A call of acme's."""
    told = {
        "id": new_id(), "worker": "w1", "tenant": "acme", "lane": "interactive", "feature": "answer", "run": "",
        "model": "m", "fingerprint": "f",
    }  # fmt: skip
    return CallRow(**{**told, **changes})


def ask(**changes: Any) -> Ask:
    """An attempt of acme's that may take 30 tokens and 100 micro-dollars."""
    told = {
        "id": new_id(), "call": new_id(), "number": 1, "worker": "w1", "pool": "pool", "lane": "interactive",
        "tenant": "acme", "feature": "answer", "run": "", "provider": "p", "model": "m", "input_tokens": 10,
        "max_output": 20, "microdollars": 100, "patience": 30.0,
    }  # fmt: skip
    return Ask(**{**told, **changes})


def settled(tokens: int = 15, cost: int = 50) -> Settlement:
    """An answer of so many tokens."""
    return Settlement("settled", ANSWERED, "ok", Usage(10, tokens - 10), cost)


def unknown() -> Settlement:
    """Nothing is known of its end."""
    return Settlement("unknown", Effect("failed"), "reset")


def released() -> Settlement:
    """It never was sent."""
    return Settlement("released", Effect("not_sent"), "unreachable")


def counters(books: Transactions) -> dict[tuple[str, str, str], tuple[int, int, int]]:
    """(scope, window, unit) -> (held, spent, overrun)."""
    rows = books.database.read(lambda c: list(c.execute(select(schema.counter))))
    return {(row.scope, row.window, row.unit): (row.held, row.spent, row.overrun) for row in rows}


def states(books: Transactions) -> dict[str, int]:
    """How many attempts are in each state."""
    counted = select(schema.attempt.c.state, func.count()).group_by(schema.attempt.c.state)
    return dict(books.database.read(lambda c: [tuple(row) for row in c.execute(counted)]))
