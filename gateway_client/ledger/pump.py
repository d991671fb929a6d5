"""The pump: while a pool has room, the next waiting call gets its slot and its holds, or is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, bindparam, func, select, update

from gateway_client import fairness
from gateway_client.errors import Refusal
from gateway_client.lanes import Lane
from gateway_client.ledger import counters, flows
from gateway_client.ledger.entries import Answer
from gateway_client.ledger.turn import Turn, split
from gateway_client.pools import limits
from gateway_client.pools import state as pool_state
from gateway_client.pools.state import Granted
from gateway_client.scopes import Amount
from gateway_client.store import schema

MOST_AT_ONCE = 16
_a = schema.attempt.c
_WAITING = (_a.pool == bindparam("b_pool")) & (_a.state == "waiting")
_NEXT = (
    select(schema.attempt)
    .where(
        _WAITING,
        _a.lane == bindparam("b_lane"),
        _a.tenant == bindparam("b_tenant"),
        _a.seq == bindparam("b_seq"),
        _a.not_before <= bindparam("b_now"),
    )
    .order_by(_a.id)
    .limit(1)
)
_NEXT_TIME = select(func.min(_a.not_before)).where(_WAITING, _a.not_before > bindparam("b_now"))
_GRANT = (
    update(schema.attempt)
    .where(_a.id == bindparam("b_id"), _a.state == "waiting")
    .values(
        state="held",
        granted=func.coalesce(_a.granted, bindparam("b_now")),
        sends=_a.sends + 1,
        counters=bindparam("b_counters"),
    )
)
_REFUSE = (
    update(schema.attempt)
    .where(_a.id == bindparam("b_id"), _a.state == "waiting")
    .values(state="refused", counters="", refusal=bindparam("b_refusal"))
)
_POSTPONE = (
    update(schema.attempt)
    .where(
        _WAITING,
        _a.lane == Lane.BATCH.value,
        _a.provider == bindparam("b_provider"),
        _a.model == bindparam("b_model"),
        _a.not_before < bindparam("b_until"),
    )
    .values(not_before=bindparam("b_until"))
)


def pump(turn: Turn) -> None:
    """Hand out what room there is; at most so much in one transaction that others can get in between."""
    if not sum(turn.waiting.values()):
        return
    shut = turn.state.shut_for(turn.now)
    if shut:
        turn.notices.look_in(turn.pool, shut)
        return
    for _ in range(MOST_AT_ONCE):
        if not _step(turn):
            return
    turn.notices.again.add(turn.pool)


def _step(turn: Turn) -> bool:
    """One waiting call granted, refused or put off; False where there is nothing more to do."""
    room = turn.room()
    if room.free <= 0 or not _anyone(turn, room):
        return False
    heads = flows.heads(turn)
    late = turn.now - turn.declared.batch_max_wait
    overdue = [head for head in heads[Lane.BATCH] if head.since < late]
    lane = fairness.next_lane(room, bool(heads[Lane.INTERACTIVE]), bool(heads[Lane.BATCH]), bool(overdue))
    head = fairness.next_head(overdue if lane is Lane.BATCH and overdue else heads[lane]) if lane else None
    if lane is None or head is None:
        _sleep_until_next(turn)
        return False
    named = {"b_pool": turn.pool, "b_lane": lane.value, "b_tenant": head.tenant, "b_seq": head.seq}
    row = turn.connection.execute(_NEXT, {**named, "b_now": turn.now}).one()
    return _handle(turn, row, head.level)


def _anyone(turn: Turn, room: fairness.Room) -> bool:
    """Whether a lane has both a call that waits and a slot for it: told from counts alone."""
    waits = [turn.waiting.get(lane, 0) > 0 for lane in Lane]
    return fairness.next_lane(room, waits[0], waits[1], overdue=waits[1]) is not None


def _sleep_until_next(turn: Turn) -> None:
    when = turn.connection.execute(_NEXT_TIME, {"b_pool": turn.pool, "b_now": turn.now}).scalar()
    if when is not None:
        turn.notices.look_in(turn.pool, when - turn.now)


def _handle(turn: Turn, row: Row[Any], served: float) -> bool:
    refusal = turn.terms.paused(values_of(row._mapping))
    if refusal is None and row.deadline <= turn.now:
        refusal = Refusal("deadline", f"pool={turn.pool}")
    closed = turn.state.breaker(f"{row.provider}/{row.model}").wait(turn.now)
    if refusal is None and closed:
        if row.lane == Lane.BATCH:
            return _postpone(turn, row, turn.now + closed)
        refusal = broken(row.provider, row.model, turn.now, closed)
    if refusal is not None:
        return _refuse(turn, row, refusal)
    need = limits.needs(*_need(row))
    full = limits.wait_for(turn.state.limits(turn.declared, turn.now), need, turn.now)
    if full:
        turn.notices.look_in(turn.pool, full)
        return False
    return _take(turn, row, served, need)


def _need(row: Row[Any]) -> tuple[int, int]:
    return row.hold_tokens - row.output, row.output


def _take(turn: Turn, row: Row[Any], served: float, need: Mapping[str, int]) -> bool:
    keys = row.counters
    if not keys:
        wanted = turn.terms.counters(values_of(row._mapping), turn.now)
        turn.database.lock_counters(turn.connection, [key.key for key in wanted])
        amount = Amount(row.hold_tokens, 1, row.hold_micro)
        refusal = counters.take(turn.connection, wanted, amount, batch=row.lane == Lane.BATCH, now=turn.now)
        if refusal is not None:
            return _refuse(turn, row, refusal)
        keys = "\n".join(key.key for key in wanted)
    turn.connection.execute(_GRANT, {"b_id": row.id, "b_now": turn.now, "b_counters": keys})
    flows.charge(turn, row.lane, row.tenant, held=row.hold_tokens)
    granted = Granted(row.id, row.lane, f"{row.provider}/{row.model}", served, need)
    turn.state = pool_state.admitted(turn.state, turn.declared, granted, turn.now)
    turn.queue(row.lane, -1)
    turn.grant(row.lane)
    turn.notices.tell(row.worker, row.id, Answer(granted=True, queued=True, sends=row.sends + 1))
    return True


def _refuse(turn: Turn, row: Row[Any], refusal: Refusal) -> bool:
    if row.counters:
        give_back(turn, row)
    turn.connection.execute(_REFUSE, {"b_id": row.id, "b_refusal": json.dumps(asdict(refusal))})
    turn.queue(row.lane, -1)
    turn.notices.tell(row.worker, row.id, Answer(refusal=refusal, queued=True))
    return True


def give_back(turn: Turn, row: Row[Any]) -> None:
    """Take a hold out of its counters."""
    keys = split(row.counters)
    turn.database.lock_counters(turn.connection, keys)
    held = Amount(row.hold_tokens, 1, row.hold_micro)
    counters.settle(turn.connection, keys, held, counters.NOTHING)


def _postpone(turn: Turn, row: Row[Any], until: float) -> bool:
    named = {"b_pool": turn.pool, "b_provider": row.provider, "b_model": row.model, "b_until": until}
    turn.connection.execute(_POSTPONE, named)
    turn.notices.look_in(turn.pool, until - turn.now)
    return True


def broken(provider: str, model: str, now: float, wait: float) -> Refusal:
    """The refusal of an open breaker."""
    return Refusal("breaker", f"provider={provider},model={model}", resets_at=now + wait, wait=round(wait, 3))


def values_of(row: Any) -> dict[str, str]:  # noqa: ANN401 - a row's mapping
    """The dimensions of an attempt, by name."""
    return {name: row[name] for name in ("tenant", "lane", "feature", "model", "pool", "run")}
