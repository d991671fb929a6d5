"""Counters: take room in all of them or in none, and give back or charge what was taken.

Every statement here is prepared once; built anew each time it would cost more than the database does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import BigInteger, Connection, bindparam, case, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway_client.errors import Refusal
from gateway_client.scopes import Amount, Budget, CounterKey, Span, Unit, resets
from gateway_client.store.schema import counter

_c = counter.c


def _by_unit(prefix: str) -> Any:  # noqa: ANN401 - SQLAlchemy's expressions
    return case(
        (_c.unit == Unit.TOKENS.value, bindparam(f"{prefix}_tokens", type_=BigInteger)),
        (_c.unit == Unit.REQUESTS.value, bindparam(f"{prefix}_requests", type_=BigInteger)),
        else_=bindparam(f"{prefix}_microdollars", type_=BigInteger),
    )


_mine = _c.key.in_(bindparam("keys", expanding=True))
_fits = _c.spent + _c.held + _c.overrun + _by_unit("need") <= _c.limit - _c.reserve * bindparam("batch")
_inner = counter.alias("other")
_other_fits = (
    select(func.count())
    .select_from(_inner)
    .where(
        _inner.c.key.in_(bindparam("keys", expanding=True)),
        _inner.c.spent
        + _inner.c.held
        + _inner.c.overrun
        + case(
            (_inner.c.unit == Unit.TOKENS.value, bindparam("need_tokens", type_=BigInteger)),
            (_inner.c.unit == Unit.REQUESTS.value, bindparam("need_requests", type_=BigInteger)),
            else_=bindparam("need_microdollars", type_=BigInteger),
        )
        <= _inner.c.limit - _inner.c.reserve * bindparam("batch"),
    )
    .scalar_subquery()
)
# All or none: where one lacks room, the count is short and no row is touched.
_TAKE = (
    update(counter).where(_mine, _other_fits == bindparam("wanted")).values(held=_c.held + _by_unit("need"))
)
_MOVE = (
    update(counter)
    .where(_mine)
    .values(
        held=_c.held - _by_unit("held"),
        spent=_c.spent + _by_unit("spent"),
        overrun=_c.overrun + _by_unit("over"),
    )
)
_LOOK = select(counter, _fits.label("fits")).where(_mine)
_KEYS = select(_c.key).where(_mine)
NOTHING = Amount(0, 0, 0)


def take(
    connection: Connection, keys: Sequence[CounterKey], need: Amount, *, batch: bool, now: float
) -> Refusal | None:
    """Hold `need` in every counter, or in none and say which lacks room."""
    if not keys:
        return None
    named = {
        "keys": [key.key for key in keys],
        "wanted": len(keys),
        "batch": int(batch),
        **_named("need", need),
    }
    if connection.execute(_TAKE, named).rowcount == len(keys):
        return None
    if _open_missing(connection, keys) and connection.execute(_TAKE, named).rowcount == len(keys):
        return None
    return _refusal(connection, named, need, batch=batch, now=now)


def settle(connection: Connection, keys: Sequence[str], held: Amount, used: Amount) -> Amount:
    """Turn a hold into what was used; returns what went beyond the hold."""
    spent = Amount(
        min(held.tokens, used.tokens),
        min(held.requests, used.requests),
        min(held.microdollars, used.microdollars),
    )
    over = Amount(
        used.tokens - spent.tokens, used.requests - spent.requests, used.microdollars - spent.microdollars
    )
    _move(connection, keys, held, spent, over)
    return over


def correct(connection: Connection, keys: Sequence[str], charged: Amount, used: Amount) -> None:
    """Replace what an unknown attempt was charged by what its bill says."""
    less = Amount(
        min(0, used.tokens - charged.tokens),
        min(0, used.requests - charged.requests),
        min(0, used.microdollars - charged.microdollars),
    )
    over = Amount(
        max(0, used.tokens - charged.tokens),
        max(0, used.requests - charged.requests),
        max(0, used.microdollars - charged.microdollars),
    )
    _move(connection, keys, NOTHING, less, over)


def _move(connection: Connection, keys: Sequence[str], held: Amount, spent: Amount, over: Amount) -> None:
    if keys:
        amounts = {**_named("held", held), **_named("spent", spent), **_named("over", over)}
        connection.execute(_MOVE, {"keys": list(keys), **amounts})


def _named(prefix: str, amount: Amount) -> dict[str, int]:
    return {f"{prefix}_{unit}": value for unit, value in asdict(amount).items()}


def open_row(budget: Budget, scope: str, starts: int, key: str) -> dict[str, Any]:
    """A counter's row as it begins."""
    return {
        "key": key,
        "budget": budget.id,
        "scope": scope,
        "window": budget.window.value,
        "unit": budget.unit.value,
        "starts": starts,
        "limit": budget.limit,
        "reserve": budget.reserve,
        "held": 0,
        "spent": 0,
        "overrun": 0,
        "floor": 0,
    }


def _open_missing(connection: Connection, keys: Sequence[CounterKey]) -> bool:
    there = set(connection.execute(_KEYS, {"keys": [key.key for key in keys]}).scalars())
    missing = sorted((key for key in keys if key.key not in there), key=lambda key: key.key)
    if missing:
        rows = [open_row(key.budget, key.scope, key.starts, key.key) for key in missing]
        connection.execute(_INSERTS[connection.dialect.name], rows)
    return bool(missing)


_INSERTS = {
    "sqlite": sqlite.insert(counter).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(counter).on_conflict_do_nothing(),
}


def _refusal(
    connection: Connection, named: Mapping[str, Any], need: Amount, *, batch: bool, now: float
) -> Refusal:
    rows = [row for row in connection.execute(_LOOK, dict(named)) if not row.fits]
    # The one that takes longest to have room again: waiting for a nearer one would not help.
    row = max(rows, key=lambda row: resets(Span(row.window), now) or float("inf"))
    used, needed = row.spent + row.overrun, getattr(need, row.unit)
    limit = row.limit - (row.reserve if batch else 0)
    end = resets(Span(row.window), now)
    # Room that only holds take comes back as calls settle; room that is spent, when the window ends.
    wait = 1.0 if used + needed <= limit else (None if end is None or needed > limit else round(end - now, 3))
    return Refusal(
        "budget", row.scope, row.unit, row.window, limit, used, row.held, needed, resets_at=end, wait=wait
    )
