"""One transaction on one pool: its state read once, changed by pure functions, written once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, literal_column, select, update

from gateway_client.errors import GatewayError
from gateway_client.fairness import Room
from gateway_client.lanes import Lane
from gateway_client.ledger.entries import Notices
from gateway_client.ledger.terms import VERSION, Terms, TermsCache, declared
from gateway_client.pools import state as pool_state
from gateway_client.pools.declared import PoolConfig
from gateway_client.pools.state import PoolState
from gateway_client.store import schema
from gateway_client.store.database import Database

_WRITE = (
    update(schema.pool).where(schema.pool.c.name == bindparam("b_pool")).values(state=bindparam("b_state"))
)
_a = schema.attempt.c


def _count(state: str, lane: str) -> Any:  # noqa: ANN401 - SQLAlchemy's expressions
    # Literals, so that the database sees that its partial indices fit.
    chosen = (_a.pool == bindparam("pool")) & (_a.state == literal_column(f"'{state}'")) & (_a.lane == lane)
    return select(func.count()).select_from(schema.attempt).where(chosen).scalar_subquery()


# Everything that a turn must know, in one statement: each costs more in a busy process than in the database.
_READ = select(
    schema.pool.c.declared,
    schema.pool.c.state,
    VERSION.scalar_subquery().label("version"),
    *(_count(state, lane).label(f"{state}_{lane}") for state in ("held", "waiting") for lane in Lane),
).where(schema.pool.c.name == bindparam("pool"))


@dataclass(slots=True)
class Turn:
    """A pool, locked. `held` and `waiting` count its attempts by lane."""

    database: Database
    connection: Connection
    terms: Terms
    pool: str
    now: float
    declared: PoolConfig
    state: PoolState
    held: dict[str, int]
    waiting: dict[str, int]
    notices: Notices = field(default_factory=Notices)
    _stored: PoolState | None = None

    def room(self) -> Room:
        """The pool's slots."""
        return Room(
            self.state.window.slots,
            self.held.get(Lane.INTERACTIVE, 0),
            self.held.get(Lane.BATCH, 0),
            min(self.declared.headroom, self.state.window.slots - 1),
            self.declared.batch_minimum,
        )

    def in_flight(self) -> int:
        """Attempts that have a slot."""
        return sum(self.held.values())

    def grant(self, lane: str) -> None:
        """One more has a slot."""
        self.held[lane] = self.held.get(lane, 0) + 1

    def give_back(self, lane: str) -> None:
        """One fewer has a slot."""
        self.held[lane] = self.held.get(lane, 0) - 1

    def queue(self, lane: str, number: int) -> None:
        """So many more wait, or fewer."""
        self.waiting[lane] = self.waiting.get(lane, 0) + number

    def close(self) -> Notices:
        """Write the state if it changed, and hand over who is to be told."""
        if self.state != self._stored:
            self.connection.execute(_WRITE, {"b_pool": self.pool, "b_state": pool_state.dumps(self.state)})
        self.database.notify(self.connection, self.notices.answers)
        return self.notices


def open_turn(database: Database, connection: Connection, terms: TermsCache, pool: str) -> Turn:
    """Lock a pool and read it. Raises GatewayError for a pool that nobody declared."""
    database.lock_pools(connection, [pool])
    row = read(connection, pool)
    if row is None:
        raise GatewayError(f"the gateway's store has no pool {pool!r}: the catalogue declares pools at start")
    state = pool_state.loads(row.state)
    return Turn(
        database,
        connection,
        terms.at(connection, row.version),
        pool,
        database.now(connection),
        declared(row.declared),
        state,
        counted(row, "held"),
        counted(row, "waiting"),
        _stored=state,
    )


def read(connection: Connection, pool: str) -> Row[Any] | None:
    """A pool's row, with its attempts in flight and waiting by lane."""
    return connection.execute(_READ, {"pool": pool}).first()


def counted(row: Row[Any], state: str) -> dict[str, int]:
    """Attempts of a pool in a state, by lane."""
    return {lane: getattr(row, f"{state}_{lane}") for lane in Lane}


def ensure_pools(connection: Connection, pools: dict[str, PoolConfig]) -> None:
    """Write what a catalogue declares; what an operator set stays."""
    known = {row.name: row for row in connection.execute(select(schema.pool))}
    for name, wanted in sorted(pools.items()):
        if name not in known:
            add_pool(connection, name, wanted)
        elif not (found := declared(known[name].declared)).by_operator and found != wanted:
            change_pool(connection, name, known[name].state, wanted)


def add_pool(connection: Connection, name: str, wanted: PoolConfig) -> None:
    """A new pool."""
    text = pool_state.dumps(pool_state.fresh(wanted))
    connection.execute(
        insert(schema.pool), {"name": name, "declared": wanted.model_dump_json(), "state": text}
    )


def change_pool(connection: Connection, name: str, state: str, wanted: PoolConfig) -> None:
    """Other promises for a pool; what it learned stays, within them."""
    text = pool_state.dumps(pool_state.fitted(pool_state.loads(state), wanted))
    values = {"declared": wanted.model_dump_json(), "state": text}
    connection.execute(update(schema.pool).where(schema.pool.c.name == name).values(**values))


def split(counters: str) -> Sequence[str]:
    """The counters' keys of an attempt's row."""
    return counters.split("\n") if counters else []
