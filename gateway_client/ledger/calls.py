"""Rows of calls: begun once, ended once, and found again by their idempotency key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, String, bindparam, case, exists, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway_client.ledger.entries import CallRow, Ending
from gateway_client.store import schema

_a, _c = schema.attempt.c, schema.call.c
_KEYED = select(schema.call).where(
    _c.tenant == bindparam("b_tenant"), _c.idempotency_key == bindparam("b_key")
)
_CHARGED = _a.state.in_(("settled", "corrected", "unknown"))
_BEFORE = select(
    func.coalesce(func.max(_a.number), 0).label("attempts"),
    func.coalesce(func.sum(_a.sends), 0).label("sends"),
).where(_a.call == bindparam("b_call"))


_GIVEN = ("outcome", "answered_by", "reported", "reply", "expires", "ended")
_charged = exists().where(_a.call == _c.id, _CHARGED, _a.cost_micro + _a.tokens > 0).correlate(schema.call)
# A call that failed and was charged, or may have been, is unknown: its key buys again only on demand.
_END = (
    update(schema.call)
    .where(
        _c.id == bindparam("b_call"),
        _c.state == "running",
        (bindparam("b_state", type_=String) == "done")
        | bindparam("b_worker", type_=String).in_(["", _c.worker]),
    )
    .values(
        state=case(
            (_charged & (bindparam("b_state", type_=String) == "failed"), "unknown"),
            else_=bindparam("b_state"),
        ),
        # Whoever gives up what was never run knows nothing of it.
        record=case((bindparam("b_record", type_=String) == "{}", _c.record), else_=bindparam("b_record")),
        **{name: bindparam(f"b_{name}") for name in _GIVEN},
    )
)
_TAKE_OVER = (
    update(schema.call)
    .where(_c.id == bindparam("b_call"), _c.state == bindparam("b_before"))
    .values(
        state="running",
        worker=bindparam("b_worker"),
        started=bindparam("b_now"),
        outcome="",
        answered_by="",
        reported="",
        reply=None,
        expires=None,
        ended=None,
    )
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """What an idempotency key stands for.

    `kind`: `yours` (dispatch under `call`, which had `attempts` and `sends` before), `stored` (the reply is there),
    `busy` (another dispatcher is at it), `conflict` (another body), `unknown` (charged before, its reply not known).
    """

    kind: str
    call: str
    attempts: int = 0
    sends: int = 0
    reply: bytes | None = None
    outcome: str = ""
    answered_by: str = ""
    record: str = "{}"


def begin(connection: Connection, row: CallRow, now: float) -> None:
    """A call begins, unless it has ended already: its caller may have left before this was written."""
    connection.execute(_BEGINS[connection.dialect.name], _fresh(row, now))


def _fresh(row: CallRow, now: float) -> dict[str, Any]:
    return {
        "id": row.id,
        "tenant": row.tenant,
        "idempotency_key": row.key,
        "fingerprint": row.fingerprint,
        "state": "running",
        "worker": row.worker,
        "lane": row.lane,
        "feature": row.feature,
        "run": row.run,
        "model": row.model,
        "started": now,
        "record": row.record,
    }


def claim(connection: Connection, row: CallRow, *, buy_again: bool, now: float) -> Claimed:
    """Become the one dispatcher of an idempotency key, or learn why not."""
    inserted = connection.execute(_CLAIMS[connection.dialect.name], _fresh(row, now))
    if inserted.first() is not None:
        return Claimed("yours", row.id)
    found = connection.execute(_KEYED, {"b_tenant": row.tenant, "b_key": row.key}).one()
    if found.fingerprint != row.fingerprint:
        return Claimed("conflict", found.id)
    if found.state == "running":
        return Claimed("busy", found.id)
    if found.state == "done" and found.reply is not None and (found.expires or 0) > now:
        return Claimed(
            "stored",
            found.id,
            reply=found.reply,
            outcome=found.outcome,
            answered_by=found.answered_by,
            record=found.record,
        )
    if found.state == "unknown" and not buy_again:
        return Claimed("unknown", found.id, outcome=found.outcome)
    return _take_over(connection, row, found.id, found.state, now)


def _take_over(connection: Connection, row: CallRow, call: str, state: str, now: float) -> Claimed:
    named = {"b_call": call, "b_before": state, "b_worker": row.worker, "b_now": now}
    if connection.execute(_TAKE_OVER, named).rowcount != 1:
        return Claimed("busy", call)
    before = connection.execute(_BEFORE, {"b_call": call}).one()
    return Claimed("yours", call, attempts=int(before.attempts), sends=int(before.sends))


def end(connection: Connection, ending: Ending, now: float) -> None:
    """A call ends; what it used is the sum of its attempts. A second end is ignored."""
    named = {
        "b_call": ending.call,
        "b_worker": ending.worker,
        "b_state": ending.state,
        "b_outcome": ending.outcome[:60],
        "b_answered_by": ending.answered_by,
        "b_reported": ending.reported[:200],
        "b_reply": ending.reply,
        "b_expires": ending.expires,
        "b_ended": now,
        "b_record": ending.record,
    }
    if connection.execute(_END, named).rowcount == 0 and ending.begins is not None:
        begin(connection, ending.begins, now)
        connection.execute(_END, named)


_KEY = ["tenant", "idempotency_key"]
_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_BEGINS = {
    name: into(schema.call).on_conflict_do_nothing(index_elements=["id"]) for name, into in _INSERTS.items()
}
_CLAIMS = {
    name: into(schema.call).on_conflict_do_nothing(index_elements=_KEY).returning(_c.id)
    for name, into in _INSERTS.items()
}
