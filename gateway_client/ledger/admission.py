"""Admission: one short transaction that grants an attempt, refuses it, or lets it wait."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, bindparam, case, func, insert, select

from gateway_client import fairness
from gateway_client.errors import Refusal
from gateway_client.lanes import Lane
from gateway_client.ledger import counters, flows
from gateway_client.ledger.calls import begin
from gateway_client.ledger.entries import Answer, Ask
from gateway_client.ledger.pump import broken, pump
from gateway_client.ledger.turn import Turn
from gateway_client.pools import limits
from gateway_client.pools import state as pool_state
from gateway_client.pools.state import Granted
from gateway_client.scopes import Amount
from gateway_client.store import schema

_a = schema.attempt.c
_INSERT = insert(schema.attempt)
_COST = select(
    func.coalesce(
        func.sum(case((_a.state.in_(("settled", "corrected", "unknown")), _a.cost_micro), else_=0)), 0
    )
    + func.coalesce(func.sum(case((_a.state.in_(("waiting", "held")), _a.hold_micro), else_=0)), 0)
).where(_a.call == bindparam("b_call"))
_STATE = select(_a.state, _a.refusal, _a.sends).where(_a.id == bindparam("b_id"))


def admit(turn: Turn, ask: Ask) -> Answer:
    """Grant, refuse or queue one attempt, then hand out what room is left."""
    if ask.begins is not None:
        begin(turn.connection, ask.begins, turn.now)
    refusal = _refused_at_once(turn, ask)
    if refusal is not None:
        return Answer(refusal=refusal)
    if _free(turn, ask):
        return _grant(turn, ask)
    refusal = _no_place(turn, ask)
    if refusal is not None:
        return Answer(refusal=refusal)
    flows.arrive(turn, ask.lane, ask.tenant)
    turn.connection.execute(_INSERT, _row(turn, ask, "waiting"))
    turn.queue(ask.lane, 1)
    pump(turn)
    return _seen(turn, ask)


def _refused_at_once(turn: Turn, ask: Ask) -> Refusal | None:
    paused = turn.terms.paused(values(ask))
    if paused is not None:
        return paused
    closed = turn.state.breaker(ask.breaker).wait(turn.now)
    if closed and ask.lane == Lane.INTERACTIVE:
        return broken(ask.provider, ask.model, turn.now, closed)
    return None if ask.most is None else _too_dear(turn.connection, ask, ask.most)


def _too_dear(connection: Connection, ask: Ask, most: int) -> Refusal | None:
    so_far = int(connection.execute(_COST, {"b_call": ask.call}).scalar_one())
    if so_far + ask.microdollars <= most:
        return None
    return Refusal(
        "cost_cap", f"call={ask.call}", "microdollars", "call", most, used=so_far, needed=ask.microdollars
    )


def _free(turn: Turn, ask: Ask) -> bool:
    """Whether it may go before anything was queued: nobody waits, there is room, nothing is shut."""
    if sum(turn.waiting.values()) or turn.state.shut_for(turn.now):
        return False
    if turn.state.breaker(ask.breaker).wait(turn.now) or _lacks(turn, ask):
        return False
    interactive = ask.lane == Lane.INTERACTIVE
    return fairness.next_lane(turn.room(), interactive, not interactive, overdue=False) is not None


def _lacks(turn: Turn, ask: Ask) -> float:
    need = limits.needs(ask.input_tokens, ask.max_output)
    return limits.wait_for(turn.state.limits(turn.declared, turn.now), need, turn.now)


def _grant(turn: Turn, ask: Ask) -> Answer:
    keys = turn.terms.counters(values(ask), turn.now)
    turn.database.lock_counters(turn.connection, [key.key for key in keys])
    amount = Amount(ask.tokens, 1, ask.microdollars)
    batch = ask.lane == Lane.BATCH
    refusal = counters.take(turn.connection, keys, amount, batch=batch, now=turn.now)
    if refusal is not None:
        return Answer(refusal=refusal)
    served = flows.pass_through(turn, ask.lane, ask.tenant, ask.tokens)
    row = _row(turn, ask, "held")
    row.update(granted=turn.now, sends=1, counters="\n".join(key.key for key in keys))
    turn.connection.execute(_INSERT, row)
    need = limits.needs(ask.input_tokens, ask.max_output)
    granted = Granted(ask.id, ask.lane, ask.breaker, served, need)
    turn.state = pool_state.admitted(turn.state, turn.declared, granted, turn.now)
    turn.grant(ask.lane)
    return Answer(granted=True, sends=1)


def _no_place(turn: Turn, ask: Ask) -> Refusal | None:
    waiting, most = turn.waiting.get(ask.lane, 0), turn.declared.queue(ask.lane)
    if waiting < most:
        return None
    window = turn.state.window
    wait = fairness.suggested_wait(waiting, window.size, window.latency)
    scope = f"pool={turn.pool},lane={ask.lane}"
    return Refusal("queue", scope, "requests", "", most, used=waiting, needed=1, wait=wait)


def _row(turn: Turn, ask: Ask, state: str) -> dict[str, Any]:
    return {
        "id": ask.id,
        "call": ask.call,
        "number": ask.number,
        "state": state,
        "worker": ask.worker,
        "seq": int(turn.now * flows.SEQ_PER_SECOND),
        "pool": ask.pool,
        "lane": ask.lane,
        "tenant": ask.tenant,
        "feature": ask.feature,
        "run": ask.run,
        "provider": ask.provider,
        "model": ask.model,
        "queued": turn.now,
        "not_before": 0.0,
        "deadline": turn.now + ask.patience,
        "granted": None,
        "sends": 0,
        "hold_tokens": ask.tokens,
        "hold_micro": ask.microdollars,
        "counters": "",
        # Until it is settled: the part of the hold that is output, which minute limits are counted by.
        "output": ask.max_output,
    }


def _seen(turn: Turn, ask: Ask) -> Answer:
    row = turn.connection.execute(_STATE, {"b_id": ask.id}).one()
    return answer(row.state, row.refusal, row.sends)


def answer(state: str, refusal: str | None, sends: int) -> Answer:
    """An attempt's row as an answer to who asked for it."""
    if state == "refused":
        return Answer(refusal=Refusal(**json.loads(refusal or "{}")), queued=True)
    return Answer(granted=state == "held", queued=True, sends=sends)


def values(ask: Ask) -> dict[str, str]:
    """The dimensions of an ask, by name."""
    return {
        "tenant": ask.tenant,
        "lane": ask.lane,
        "feature": ask.feature,
        "model": ask.model,
        "pool": ask.pool,
        "run": ask.run,
    }
