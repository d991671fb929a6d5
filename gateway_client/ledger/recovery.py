"""What a dead worker leaves: its slots are free at once, its attempts are unknown, its tickets go."""

from __future__ import annotations

from sqlalchemy import Connection, delete, exists, select, update

from gateway_client.ledger.entries import Effect, Notices, Settlement
from gateway_client.ledger.pump import pump
from gateway_client.ledger.settlement import leave_queue, note, open_attempts, settle
from gateway_client.ledger.terms import TermsCache
from gateway_client.ledger.turn import Turn, open_turn
from gateway_client.store import schema
from gateway_client.store.database import Database

_a, _c, _w = schema.attempt.c, schema.call.c, schema.worker.c


def pools_of(connection: Connection, worker: str) -> list[str]:
    """Pools in which a worker has something open, in the order of locking."""
    return sorted({row.pool for row in open_attempts(connection, worker)})


def recover(database: Database, connection: Connection, terms: TermsCache, worker: str) -> Notices:
    """Clear up after a worker that is known to be dead. Whoever comes second finds nothing to do."""
    pools = pools_of(connection, worker)
    database.lock_pools(connection, pools)
    if connection.execute(delete(schema.worker).where(_w.id == worker)).rowcount != 1:
        return Notices()
    notices = Notices()
    for name in pools:
        turn = open_turn(database, connection, terms, name)
        turn.notices = notices
        _clear(turn, worker)
        turn.close()
    _end_calls(connection, worker, database.now(connection))
    return notices


def _clear(turn: Turn, worker: str) -> None:
    rows = [row for row in open_attempts(turn.connection, worker) if row.pool == turn.pool]
    # First what waits: a slot that comes free must not be given to the dead.
    for row in rows:
        if row.state == "waiting" and row.counters:
            leave_queue(turn, row, "worker died")
    gone = delete(schema.attempt).where(
        _a.worker == worker, _a.pool == turn.pool, _a.state.in_(("waiting", "refused"))
    )
    turn.connection.execute(gone)
    waited = [row for row in rows if row.state == "waiting" and not row.counters]
    for lane in {row.lane for row in waited}:
        turn.queue(lane, -sum(row.lane == lane for row in waited))
    lost = Settlement("unknown", Effect("not_sent"), outcome="worker died")
    for row in rows:
        if row.state == "held":
            settle(turn, row.id, lost)
    if rows:
        note(turn.connection, "worker_died", f"pool={turn.pool}", f"{worker}: {len(rows)} attempts", turn.now)
    pump(turn)


def _end_calls(connection: Connection, worker: str, now: float) -> None:
    mine = (_c.worker == worker) & (_c.state == "running")
    charged = exists().where(_a.call == _c.id, _a.state.in_(("unknown", "settled", "corrected")))
    values = {"outcome": "worker died", "ended": now}
    connection.execute(update(schema.call).where(mine, charged).values(state="unknown", **values))
    connection.execute(update(schema.call).where(mine).values(state="failed", **values))


def expire(connection: Connection, now: float) -> int:
    """Wipe replies whose time is over; their keys may be used again."""
    over = (_c.expires < now) & _c.reply.is_not(None)
    return connection.execute(update(schema.call).where(over).values(reply=None)).rowcount


def forget_flows(connection: Connection) -> None:
    """Drop tenants with nothing open: one that comes back starts level with the others anyway."""
    _f = schema.flow.c
    busy = exists().where(_a.pool == _f.pool, _a.tenant == _f.tenant, _a.state.in_(("waiting", "held")))
    connection.execute(delete(schema.flow).where(~busy))


def workers(connection: Connection) -> list[tuple[str, int, str, int]]:
    """(id, key, host, pid) of every registered worker."""
    rows = connection.execute(select(_w.id, _w.key, _w.host, _w.pid).order_by(_w.id))
    return [(row.id, row.key, row.host, row.pid) for row in rows]
