"""The end of an attempt: once, by compare-and-set. What was held is charged or given back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from gateway_client.ledger import counters, flows
from gateway_client.ledger.entries import Effect, Settlement
from gateway_client.ledger.pump import give_back, pump
from gateway_client.ledger.turn import Turn, split
from gateway_client.pools import limits, retries
from gateway_client.pools import state as pool_state
from gateway_client.pools.state import PoolState
from gateway_client.scopes import Amount
from gateway_client.store import schema

_a = schema.attempt.c
_FIND = select(schema.attempt).where(_a.id == bindparam("b_id"))
_END_FIELDS = (
    "state", "input", "output", "cache_read", "cache_write", "reasoning", "tokens", "cost_micro", "outcome",
    "provider_request", "ended",
)  # fmt: skip
_END = (
    update(schema.attempt)
    .where(_a.id == bindparam("b_id"), _a.state == bindparam("b_before"))
    .values(**{name: bindparam(f"b_{name}") for name in _END_FIELDS})
)
_REQUEUE = (
    update(schema.attempt)
    .where(_a.id == bindparam("b_id"), _a.state == "held")
    .values(state="waiting", not_before=bindparam("b_not_before"))
)
_DELETE = schema.attempt.delete().where(_a.id == bindparam("b_id"), _a.state.in_(("waiting", "refused")))
_REOPEN = (
    update(schema.attempt)
    .where(
        _a.pool == bindparam("b_pool"),
        _a.state == "waiting",
        _a.provider == bindparam("b_provider"),
        _a.model == bindparam("b_model"),
        _a.sends == 0,
    )
    .values(not_before=0.0)
)
# What a dead worker's attempt was charged by estimate may be settled by the answer that arrives after all.
_SETTLES = ("held", "unknown")


def settle(turn: Turn, attempt: str, settlement: Settlement) -> bool:
    """Settle, release or charge as unknown. False if it was settled before: nothing changes then."""
    row = turn.connection.execute(_FIND, {"b_id": attempt}).first()
    if row is None or row.state not in _SETTLES or row.state == settlement.state == "unknown":
        return False
    used = _used(row, settlement)
    if not _end(turn.connection, row, settlement, used, turn.now):
        return False
    _charge(turn, row, used)
    if row.state == "held":
        turn.give_back(row.lane)
        _teach(turn, row, settlement.effect)
    pump(turn)
    return True


def _charge(turn: Turn, row: Row[Any], used: Amount) -> None:
    keys, held = split(row.counters), Amount(row.hold_tokens, 1, row.hold_micro)
    turn.database.lock_counters(turn.connection, keys)
    if row.state == "unknown":
        counters.correct(turn.connection, keys, held, used)
        over = Amount(used.tokens - held.tokens, 0, used.microdollars - held.microdollars)
    else:
        over = counters.settle(turn.connection, keys, held, used)
    if over.tokens > 0 or over.microdollars > 0:
        note(turn.connection, "overrun", f"tenant={row.tenant}", f"attempt {row.id}: {over}", turn.now)
    if row.state == "held":
        flows.charge(turn, row.lane, row.tenant, held=-row.hold_tokens, served=used.tokens)
    else:
        flows.charge(turn, row.lane, row.tenant, served=used.tokens - row.hold_tokens)


def _used(row: Row[Any], settlement: Settlement) -> Amount:
    if settlement.state == "released":
        return counters.NOTHING
    if settlement.state == "unknown" or settlement.usage is None:
        return Amount(row.hold_tokens, 1, row.hold_micro)
    return Amount(settlement.usage.total, 1, settlement.cost)


def _end(connection: Connection, row: Row[Any], settlement: Settlement, used: Amount, now: float) -> bool:
    usage = settlement.usage if settlement.state == "settled" else None
    named = {
        "b_id": row.id,
        "b_before": row.state,
        "b_state": "corrected" if row.state == "unknown" else settlement.state,
        "b_input": usage.input if usage else 0,
        "b_output": usage.output if usage else 0,
        "b_cache_read": usage.cache_read if usage else 0,
        "b_cache_write": usage.cache_write if usage else 0,
        "b_reasoning": usage.reasoning if usage else 0,
        "b_tokens": used.tokens,
        "b_cost_micro": used.microdollars,
        "b_outcome": settlement.outcome[:60],
        "b_provider_request": settlement.provider_request[:200],
        "b_ended": now,
    }
    return bool(connection.execute(_END, named).rowcount == 1)


def _teach(turn: Turn, row: Row[Any], effect: Effect) -> None:
    """Change the pool by what the outcome says of it."""
    name = f"{row.provider}/{row.model}"
    was_open = bool(turn.state.breaker(name).open_for)
    turn.state = _taught(turn, name, row.id, effect)
    if effect.limits:
        told = limits.learn(turn.state.learned, effect.limits, turn.now)
        turn.state = replace(turn.state, learned=told)
    if was_open and not turn.state.breaker(name).open_for:
        turn.connection.execute(
            _REOPEN, {"b_pool": turn.pool, "b_provider": row.provider, "b_model": row.model}
        )


def _taught(turn: Turn, name: str, attempt: str, effect: Effect) -> PoolState:
    if effect.kind == "answered":
        in_flight = turn.in_flight() + 1
        return pool_state.answered(turn.state, turn.declared, name, in_flight, effect.seconds)
    if effect.kind == "rejected":
        return pool_state.rejected(turn.state, name, attempt, effect.retry_after, turn.now)
    if effect.kind == "failed":
        return pool_state.failed(turn.state, name, attempt, turn.now, effect.retry_after)
    if effect.kind == "not_sent":
        return pool_state.not_sent(turn.state, name, attempt)
    return turn.state


def requeue(turn: Turn, attempt: str, effect: Effect, backoff: float) -> bool:
    """After a rejection: the slot is given back, the hold stays, and it waits again in its old place."""
    row = turn.connection.execute(_FIND, {"b_id": attempt}).first()
    when = turn.now + backoff
    if (
        row is None
        or turn.connection.execute(_REQUEUE, {"b_id": attempt, "b_not_before": when}).rowcount != 1
    ):
        return False
    turn.give_back(row.lane)
    flows.charge(turn, row.lane, row.tenant, held=-row.hold_tokens)
    _teach(turn, row, effect)
    turn.queue(row.lane, 1)
    if backoff > 0:
        turn.notices.look_in(turn.pool, backoff)
    pump(turn)
    return True


_WITHDRAWN = Settlement("released", Effect("not_sent"), outcome="withdrawn")


def withdraw(turn: Turn, attempt: str) -> None:
    """Its caller no longer wants it: it leaves the queue, or gives back what it was granted and never used."""
    row = turn.connection.execute(_FIND, {"b_id": attempt}).first()
    if row is None:
        return
    if row.state == "held":
        settle(turn, attempt, _WITHDRAWN)
    elif row.state == "waiting" and row.sends:
        leave_queue(turn, row, "withdrawn")
    elif row.state == "refused" and row.sends:
        _end(turn.connection, row, _WITHDRAWN, counters.NOTHING, turn.now)
    else:
        turn.connection.execute(_DELETE, {"b_id": attempt})
        turn.queue(row.lane, -1 if row.state == "waiting" else 0)
    pump(turn)


def leave_queue(turn: Turn, row: Row[Any], outcome: str) -> None:
    """A rejected attempt that waits with its hold is released: a rejection costs nothing."""
    released = Settlement("released", Effect("nothing"), outcome=outcome)
    if _end(turn.connection, row, released, counters.NOTHING, turn.now):
        give_back(turn, row)
        turn.queue(row.lane, -1)


def spend_retry(turn: Turn) -> bool:
    """Take a retry token from the pool, if it has one."""
    left = retries.spend(turn.state.retry_tokens)
    if left is None:
        return False
    turn.state = replace(turn.state, retry_tokens=left)
    return True


_NOTE = insert(schema.event)


def note(connection: Connection, kind: str, scope: str, detail: str, now: float) -> None:
    """Something that an operator should hear of."""
    connection.execute(_NOTE, {"at": now, "kind": kind, "scope": scope, "detail": detail})


def open_attempts(connection: Connection, worker: str) -> list[Row[Any]]:
    """Everything that a worker has waiting or held, by pool."""
    chosen = select(schema.attempt).where(_a.worker == worker, _a.state.in_(("waiting", "refused", "held")))
    return list(connection.execute(chosen.order_by(_a.pool, _a.id)))


def held_total(connection: Connection) -> int:
    """Sum of everything that is held: 0 where nothing is in flight."""
    return int(connection.execute(select(func.coalesce(func.sum(schema.counter.c.held), 0))).scalar_one())
