"""Setting budgets, pools and pauses, and showing how full they are."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError
from sqlalchemy import Connection, case, delete, insert, literal, select, update

from gateway_client.errors import InvalidBudget
from gateway_client.lanes import Lane
from gateway_client.ledger import turn
from gateway_client.ledger.terms import PAUSABLE, declared, outdate, stored_budgets
from gateway_client.pools import state as pool_state
from gateway_client.pools.declared import PoolConfig
from gateway_client.pools.state import PoolState
from gateway_client.scopes import Budget, Span, Unit, check_value, parse_scope, resets, starts
from gateway_client.store import schema

_b, _c = schema.budget.c, schema.counter.c


@dataclass(frozen=True, slots=True)
class Use:
    """A budget and one scope of it: amounts in its unit, `resets` a Unix time."""

    budget: Budget
    scope: str
    used: int
    held: int
    overrun: int
    resets: float | None


def set_budget(
    connection: Connection, scope: str, window: Span, unit: Unit, limit: int, reserve: int = 0
) -> Budget:
    """Set a limit, for the window that runs, too. `reserve` is what batch may not touch. Raises InvalidBudget."""
    if limit < 0 or not 0 <= reserve <= limit:
        raise InvalidBudget(
            f"a limit of {limit} with a reserve of {reserve} cannot be: 0 <= reserve <= limit"
        )
    name = parse_scope(scope)
    where = (_b.scope == name) & (_b.window == window.value) & (_b.unit == unit.value)
    values = {"limit": limit, "reserve": reserve}
    outdate(connection)
    if connection.execute(update(schema.budget).where(where).values(values)).rowcount == 0:
        row = {"scope": name, "window": window.value, "unit": unit.value, **values}
        connection.execute(insert(schema.budget), row)
    identifier = connection.execute(select(_b.id).where(where)).scalar_one()
    _limit_counters(connection, identifier, limit, reserve)
    return Budget(identifier, name, window, unit, limit, reserve)


def cap_pools(connection: Connection, caps: dict[str, int]) -> None:
    """Meter each pool against its provider's cap of a month; what an operator set stays.

    Batch leaves the last tenth to interactive calls, so that it does not starve them at the month's end.
    """
    for name, cap in sorted(caps.items()):
        where = (_b.scope == f"pool={name}") & (_b.window == Span.MONTH.value)
        there = select(_b.id).where(where, _b.unit == Unit.MICRODOLLARS.value)
        if connection.execute(there).first() is None:
            set_budget(connection, f"pool={name}", Span.MONTH, Unit.MICRODOLLARS, cap, cap // 10)


def _limit_counters(connection: Connection, budget: int, limit: int, reserve: int) -> None:
    """Counters take the new limit at once. One that is over it already keeps what it has, and admits nothing."""
    in_use = _c.held + _c.spent
    floor = case((in_use > literal(limit), in_use), else_=0)
    connection.execute(
        update(schema.counter).where(_c.budget == budget).values(limit=limit, reserve=reserve, floor=floor)
    )


def remove_budget(connection: Connection, scope: str, window: Span, unit: Unit) -> None:
    """Take a limit away. Raises InvalidBudget if there is none."""
    name = parse_scope(scope)
    where = (_b.scope == name) & (_b.window == window.value) & (_b.unit == unit.value)
    if connection.execute(delete(schema.budget).where(where)).rowcount == 0:
        raise InvalidBudget(f"there is no budget of {unit.value} per {window.value} for {name}")
    outdate(connection)


def show_budgets(connection: Connection, now: float) -> list[Use]:
    """Every budget, and how full its counters of the current window are."""
    shown = []
    for budget in stored_budgets(connection):
        began = starts(budget.window, now)
        chosen = select(schema.counter).where(_c.budget == budget.id, _c.starts == began).order_by(_c.key)
        rows = connection.execute(chosen).all()
        end = resets(budget.window, now)
        shown += [Use(budget, row.scope, row.spent, row.held, row.overrun, end) for row in rows]
        if not rows:
            shown.append(Use(budget, budget.scope, 0, 0, 0, end))
    return shown


def set_pool(connection: Connection, name: str, changes: dict[str, object]) -> PoolConfig:
    """Change some of a pool's promises; one that is not there is made. Raises InvalidBudget for what cannot be."""
    row = connection.execute(select(schema.pool).where(schema.pool.c.name == name)).first()
    before = declared(row.declared) if row is not None else PoolConfig()
    try:
        wanted = PoolConfig.model_validate({**before.model_dump(), **changes, "by_operator": True})
    except ValidationError as wrong:
        raise InvalidBudget(f"pool {name!r} cannot be so: {_told(wrong)}") from wrong
    if row is None:
        turn.add_pool(connection, name, wanted)
    else:
        turn.change_pool(connection, name, row.state, wanted)
    outdate(connection)
    return wanted


def _told(wrong: ValidationError) -> str:
    """What is wrong with which value, in one line."""
    flaws = []
    for flaw in wrong.errors(include_url=False):
        said = flaw["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        flaws.append(": ".join([*map(str, flaw["loc"]), said]))
    return "; ".join(flaws)


def show_pools(
    connection: Connection,
) -> list[tuple[str, PoolConfig, PoolState, dict[str, int], dict[str, int]]]:
    """(name, promises, state, in flight by lane, waiting by lane) of every pool."""
    found = []
    for name in connection.execute(select(schema.pool.c.name).order_by(schema.pool.c.name)).scalars().all():
        row = turn.read(connection, name)
        if row is not None:
            held, waiting = turn.counted(row, "held"), turn.counted(row, "waiting")
            found.append((name, declared(row.declared), pool_state.loads(row.state), held, waiting))
    return found


def pause(connection: Connection, kind: str, value: str, reason: str, now: float) -> None:
    """Let nothing of a tenant, lane, model or feature through. Raises InvalidBudget."""
    if kind not in PAUSABLE:
        raise InvalidBudget(f"{kind!r} cannot be paused: {', '.join(PAUSABLE)} can")
    if kind == "lane" and value not in tuple(Lane):
        raise InvalidBudget(f"there is no lane {value!r}: there are {' and '.join(Lane)}")
    if kind in ("tenant", "feature"):
        check_value(kind, value)  # no call could bear any other
    where = (schema.pause.c.kind == kind) & (schema.pause.c.value == value)
    connection.execute(delete(schema.pause).where(where))
    connection.execute(insert(schema.pause), {"kind": kind, "value": value, "reason": reason, "since": now})
    outdate(connection)


def resume(connection: Connection, kind: str, value: str) -> bool:
    """Lift a pause; False if there was none."""
    where = (schema.pause.c.kind == kind) & (schema.pause.c.value == value)
    lifted = connection.execute(delete(schema.pause).where(where)).rowcount == 1
    outdate(connection)
    return lifted
