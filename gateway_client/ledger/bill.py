"""Reconciliation: what was charged at its maximum becomes what the provider's bill says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, select

from gateway_client.errors import InvalidBill
from gateway_client.ledger.entries import Effect, Notices, Settlement
from gateway_client.ledger.settlement import settle
from gateway_client.ledger.terms import TermsCache
from gateway_client.ledger.turn import open_turn
from gateway_client.messages import Usage
from gateway_client.store import schema
from gateway_client.store.database import Database

_a = schema.attempt.c
COUNTS = ("input", "output", "cache_read", "cache_write", "reasoning")
NEEDED = ("attempt", "micro_dollars")
EXAMPLE = '{"attempt": "…", "input": 12, "output": 3, "micro_dollars": 45}'


@dataclass(slots=True)
class Billed:
    """What a bill charges one attempt, over all its sendings. Money in micro-dollars."""

    attempt: str
    usage: Usage = Usage(0, 0)  # noqa: RUF009 - frozen
    cost: int = 0


@dataclass(slots=True)
class Reconciled:
    """What a bill changed, and where it differs from the ledger still. Money in micro-dollars.

    `differing` are settled attempts whose bill says otherwise; `unmatched` are bill lines of no attempt of ours.
    """

    lines: int = 0
    corrected: int = 0
    returned: int = 0
    differing: list[str] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    billed: int = 0
    charged: int = 0

    @property
    def difference(self) -> int:
        """What the ledger says beyond the bill, for what both know."""
        return self.charged - self.billed


def read_bill(lines: Iterable[str]) -> dict[str, Billed]:
    """Bill lines (JSON: attempt, input, output, cache_read, cache_write, reasoning, micro_dollars) by attempt.

    Raises InvalidBill, naming the line, the field and what is expected.
    """
    found: dict[str, Billed] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            _add(found, line, number)
    return found


def _add(found: dict[str, Billed], line: str, number: int) -> None:
    try:
        attempt, counts, cost = _read(line)
    except ValueError as wrong:
        raise InvalidBill(f"line {number} of the bill {wrong}; an example: {EXAMPLE}") from wrong
    before = found.setdefault(attempt, Billed(attempt))
    before.usage = Usage(**{name: getattr(before.usage, name) + counts[name] for name in COUNTS})
    before.cost += cost


def _read(line: str) -> tuple[str, dict[str, int], int]:
    """Attempt, counts and cost of a line. Raises ValueError, saying what is wrong with it, to follow its number."""
    try:
        told = json.loads(line)
    except json.JSONDecodeError as wrong:
        raise ValueError(f"is not JSON (at character {wrong.pos + 1}: {wrong.msg})") from wrong
    if not isinstance(told, dict):
        raise ValueError("is no JSON object")  # noqa: TRY004 - of a file's line, no argument
    if missing := [name for name in NEEDED if name not in told]:
        raise ValueError(f"lacks {' and '.join(missing)}")
    attempt = told["attempt"]
    if not isinstance(attempt, str) or not attempt:
        raise ValueError(f"has {attempt!r} as attempt: the id of an attempt is expected")
    return attempt, {name: _amount(told, name) for name in COUNTS}, _amount(told, "micro_dollars")


def _amount(told: dict[str, Any], name: str) -> int:
    value = told.get(name, 0)
    if type(value) is not int or value < 0:
        expected = "whole micro-dollars" if name == "micro_dollars" else "a whole number of tokens"
        raise ValueError(f"has {value!r} as {name}: {expected}, 0 or more, are expected")
    return value


def reconcile(database: Database, bill: dict[str, Billed], complete_until: float | None = None) -> Reconciled:
    """Correct what is unknown. An unknown attempt that ended before `complete_until` (Unix time) and is not in
    the bill was not charged: it becomes 0. Each attempt is corrected in a transaction of its own, once."""
    done, terms = Reconciled(lines=len(bill)), TermsCache()
    known = {row.id: row for row in database.read(lambda c: list(_attempts(c)))}
    for attempt, row in known.items():
        billed = bill.get(attempt)
        if (
            billed is None
            and row.state == "unknown"
            and complete_until is not None
            and row.ended < complete_until
        ):
            billed = Billed(attempt)
        if billed is not None:
            _compare(database, terms, done, row, billed)
    done.unmatched = sorted(set(bill) - set(known))
    return done


def _attempts(connection: Connection) -> Iterator[Any]:
    chosen = select(_a.id, _a.state, _a.pool, _a.tokens, _a.cost_micro, _a.ended).where(_a.ended.is_not(None))
    yield from (row for row in connection.execute(chosen))


def _compare(database: Database, terms: TermsCache, done: Reconciled, row: Row[Any], billed: Billed) -> None:
    done.billed += billed.cost
    if row.state == "unknown" and _correct(database, terms, row, billed):
        done.corrected += 1
        done.returned += row.cost_micro - billed.cost
        done.charged += billed.cost
        return
    done.charged += row.cost_micro
    if (row.cost_micro, row.tokens) != (billed.cost, billed.usage.total):
        done.differing.append(row.id)


def _correct(database: Database, terms: TermsCache, row: Row[Any], billed: Billed) -> bool:
    settlement = Settlement("settled", Effect("nothing"), "reconciled", billed.usage, billed.cost)

    def work(connection: Connection) -> tuple[bool, Notices]:
        turn = open_turn(database, connection, terms, row.pool)
        return settle(turn, row.id, settlement), turn.close()

    return database.write(work)[0]
