"""The ledger against the bill of whom it paid: everything that must hold, as a list of what does not."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from sqlalchemy import select

from gateway_client.ledger.bill import Billed, read_bill
from gateway_client.simulator.running import Simulator
from gateway_client.store import schema
from gateway_client.store.database import Database
from gateway_client.store.opening import open_database


def rows(database: Database, table: Any) -> list[Any]:
    """All rows of a table."""
    return database.read(lambda c: list(c.execute(select(table))))


def rows_at(url: str, table: Any) -> list[Any]:
    """All rows of a table of the store at this address."""
    database = open_database(url)
    found = rows(database, table)
    database.close()
    return found


def bill_of(simulator: Simulator) -> list[str]:
    """The lines of its bill once every request that it has seen is over. Raises TimeoutError."""
    simulator.settled(len(simulator.log))
    return [json.dumps(line) for line in simulator.provider.log.bill()]


def past_limits(database: Database) -> list[str]:
    """Counters that are past their limits, at this moment."""
    return [
        f"{row.key}: {row.held} held + {row.spent} spent of {row.limit}"
        for row in rows(database, schema.counter)
        if row.held + row.spent > row.limit
    ]


def violations(database: Database, bill_lines: Iterable[str]) -> list[str]:
    """What is wrong with the ledger now that nothing is on its way."""
    bill = read_bill(bill_lines)
    attempts = {row.id: row for row in rows(database, schema.attempt)}
    found = past_limits(database)
    found += [f"billed, but not in the ledger: {name}" for name in set(bill) - set(attempts)]
    for attempt in attempts.values():
        found += _wrong_with(attempt, bill.get(attempt.id, Billed(attempt.id)))
    return found + _wrong_counters(database, attempts.values())


def _wrong_with(attempt: Any, billed: Billed) -> list[str]:
    name = f"{attempt.state} {attempt.id} ({attempt.outcome})"
    told = (attempt.tokens, attempt.cost_micro)
    bill = (billed.usage.total, billed.cost)
    if attempt.state in ("held", "waiting", "refused"):
        return [f"still open: {name}"]
    if attempt.state in ("settled", "corrected") and told != bill:
        return [f"{name}: charged {told}, billed {bill}"]
    if attempt.state == "unknown" and (told[0] < bill[0] or told[1] < bill[1]):
        return [f"{name}: charged {told}, less than its bill {bill}"]
    if attempt.state == "released" and bill != (0, 0):
        return [f"{name}: released, but billed {bill}"]
    return []


def _wrong_counters(database: Database, attempts: Iterable[Any]) -> list[str]:
    """Each counter against the sum of what its attempts were charged."""
    sums: dict[str, Counter[str]] = defaultdict(Counter)
    for row in attempts:
        for key in row.counters.split("\n") if row.counters else ():
            if row.state in ("settled", "unknown", "corrected"):
                sums[key].update(tokens=row.tokens, requests=1, microdollars=row.cost_micro)
    counted = rows(database, schema.counter)
    found = [f"no counter counts {key}" for key in set(sums) - {row.key for row in counted}]
    for row in counted:
        charged = sums[row.key][row.unit]
        if row.held:
            found.append(f"{row.key}: {row.held} still held")
        if row.spent + row.overrun != charged:
            found.append(f"{row.key}: says {row.spent} + {row.overrun}, its attempts were charged {charged}")
    return found
