"""Forgetting a tenant: what was set for it and what its calls tell of anybody. What it spent stays on the books."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection, delete, select, update

from gateway_client.ledger.terms import outdate, stored_budgets
from gateway_client.records import Record
from gateway_client.store import schema
from gateway_client.store.database import Database

AT_ONCE = 1_000
_b, _c, _p = schema.budget.c, schema.call.c, schema.pause.c
_EMPTY = _c.record.contains('"user":null') & _c.record.contains('"document_ids":[]')
_TELLING = _c.reply.is_not(None) | _c.idempotency_key.is_not(None) | ~_EMPTY


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many limits, pauses and calls there were of a tenant: of the calls, content and names were wiped."""

    limits: int
    pauses: int
    calls: int


def forget_tenant(database: Database, tenant: str) -> Forgotten:
    """Wipe replies, idempotency keys, users and document ids of a tenant's calls, and drop its limits and pauses.

    Tokens and costs stay. A call that is still on its way stays until it has ended. Cut off, it is to be said again.
    Raises StoreUnavailable.
    """
    limits, pauses = database.write(lambda connection: _unset(connection, tenant))
    wiped = 0
    # Not in one transaction: nobody is admitted while it lasts.
    while found := database.write(lambda connection: _wipe(connection, tenant)):
        wiped += found
    return Forgotten(limits, pauses, wiped)


def _unset(connection: Connection, tenant: str) -> tuple[int, int]:
    own = [
        budget.id for budget in stored_budgets(connection) if f"tenant={tenant}" in budget.scope.split(",")
    ]
    paused = delete(schema.pause).where(_p.kind == "tenant", _p.value == tenant)
    limits = connection.execute(delete(schema.budget).where(_b.id.in_(own))).rowcount if own else 0
    pauses = connection.execute(paused).rowcount
    outdate(connection)
    return limits, pauses


def _wipe(connection: Connection, tenant: str) -> int:
    """Some of the calls that still tell something; how many they were."""
    chosen = select(_c.id, _c.record).where(_c.tenant == tenant, _c.ended.is_not(None), _TELLING)
    rows = connection.execute(chosen.limit(AT_ONCE)).all()
    for row in rows:
        record = replace(Record.from_json(row.record), user=None, document_ids=())
        blank = {"reply": None, "expires": None, "idempotency_key": None, "fingerprint": ""}
        told = update(schema.call).where(_c.id == row.id)
        connection.execute(told.values(**blank, record=record.to_json()))
    return len(rows)
