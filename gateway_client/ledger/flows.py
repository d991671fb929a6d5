"""Tenants' service in a lane, and whose call is at the head of its queue."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, case, exists, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway_client.fairness import Head, on_arrival
from gateway_client.lanes import Lane
from gateway_client.ledger.turn import Turn
from gateway_client.store import schema

_a, _f = schema.attempt.c, schema.flow.c
_WAITING = (_a.pool == _f.pool) & (_a.lane == _f.lane) & (_a.tenant == _f.tenant) & (_a.state == "waiting")
_seq = (
    select(func.min(_a.seq))
    .where(_WAITING, _a.not_before <= bindparam("now"))
    .correlate(schema.flow)
    .scalar_subquery()
)
_HEADS = select(_f.lane, _f.tenant, _f.served, _f.pending, _seq.label("seq")).where(
    _f.pool == bindparam("pool")
)
_OWN = select(_f.served).where(
    _f.pool == bindparam("pool"), _f.lane == bindparam("lane"), _f.tenant == bindparam("tenant")
)
_BACKLOGGED = select(_f.tenant, _f.served).where(
    _f.pool == bindparam("pool"),
    _f.lane == bindparam("lane"),
    exists().where(_WAITING).correlate(schema.flow),
)
_CHARGE = (
    update(schema.flow)
    .where(_f.pool == bindparam("b_pool"), _f.lane == bindparam("b_lane"), _f.tenant == bindparam("b_tenant"))
    .values(served=_f.served + bindparam("tokens"), pending=_f.pending + bindparam("held"))
)
SEQ_PER_SECOND = 1_000_000


def heads(turn: Turn) -> dict[str, list[Head]]:
    """The oldest call of every tenant that may go now, by lane."""
    found: dict[str, list[Head]] = {lane: [] for lane in Lane}
    for row in turn.connection.execute(_HEADS, {"pool": turn.pool, "now": turn.now}):
        if row.seq is not None:
            since, level = row.seq / SEQ_PER_SECOND, row.served
            found[row.lane].append(Head(row.tenant, level + row.pending, row.seq, since, level))
    return found


def arrive(turn: Turn, lane: str, tenant: str) -> float:
    """A tenant's service as it starts to wait, or goes at once; its row is written."""
    where = {"pool": turn.pool, "lane": lane}
    own = turn.connection.execute(_OWN, {**where, "tenant": tenant}).scalar()
    others: list[float] = []
    if turn.waiting.get(lane, 0):
        rows = turn.connection.execute(_BACKLOGGED, where).all()
        if own is not None and any(row.tenant == tenant for row in rows):
            return float(own)
        others = [row.served for row in rows]
    level = on_arrival(own, others, turn.state.virtual_time(lane))
    if level != own:
        turn.connection.execute(
            _UPSERTS[turn.connection.dialect.name], {**where, "tenant": tenant, "served": level}
        )
    return level


def pass_through(turn: Turn, lane: str, tenant: str, tokens: int) -> float:
    """Arrive and go at once, where nobody waits, with so many tokens held; returns the service so far."""
    level = turn.state.virtual_time(lane)
    row = {"pool": turn.pool, "lane": lane, "tenant": tenant, "served": level, "pending": float(tokens)}
    named = {**row, "level": level, "tokens": float(tokens)}
    return float(turn.connection.execute(_PASSES[turn.connection.dialect.name], named).scalar_one())


def charge(turn: Turn, lane: str, tenant: str, *, held: int = 0, served: int = 0) -> None:
    """So many tokens more, or fewer, are held for what is in flight, and were served."""
    if held or served:
        named = {"b_pool": turn.pool, "b_lane": lane, "b_tenant": tenant}
        turn.connection.execute(_CHARGE, {**named, "tokens": float(served), "held": float(held)})


_sqlite, _postgres = sqlite.insert(schema.flow), postgresql.insert(schema.flow)
_IDENTITY = ["pool", "lane", "tenant"]
_UPSERTS = {
    "sqlite": _sqlite.on_conflict_do_update(
        index_elements=_IDENTITY, set_={"served": _sqlite.excluded.served}
    ),
    "postgresql": _postgres.on_conflict_do_update(
        index_elements=_IDENTITY, set_={"served": _postgres.excluded.served}
    ),
}


def _passing(into: Any, own: Any) -> Any:  # noqa: ANN401 - the two databases' inserts
    at_least = case((own > bindparam("level"), own), else_=bindparam("level"))
    return (
        into.values(**{name: bindparam(name) for name in (*_IDENTITY, "served", "pending")})
        .on_conflict_do_update(
            index_elements=_IDENTITY, set_={"served": at_least, "pending": _f.pending + bindparam("tokens")}
        )
        .returning(_f.served)
    )


_PASSES = {
    "sqlite": _passing(sqlite.insert(schema.flow), _f.served),
    "postgresql": _passing(postgresql.insert(schema.flow), _f.served),
}
