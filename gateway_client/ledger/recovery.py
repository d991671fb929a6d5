"""What a dead worker leaves: its slots are free at once, its attempts are unknown, its tickets go."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlalchemy import Connection, delete, exists, func, select, update

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
    notices, records = Notices(), _records(connection, worker)
    for name in pools:
        turn = open_turn(database, connection, terms, name)
        turn.notices = notices
        _clear(turn, worker)
        turn.close()
    _end_calls(connection, worker, records, database.now(connection))
    return notices


def _records(connection: Connection, worker: str) -> dict[str, str]:
    """Records of a worker's running calls, with the attempts and sends that the ledger knows of: it may have died
    between a grant and its sending."""
    chosen = (
        select(_c.id, _c.record, func.max(_a.number).label("attempts"), func.sum(_a.sends).label("sends"))
        .join(schema.attempt, _a.call == _c.id)
        .where(_c.worker == worker, _c.state == "running")
        .group_by(_c.id, _c.record)
    )
    return {
        row.id: json.dumps({**json.loads(row.record), "attempts": row.attempts, "sends": int(row.sends)})
        for row in connection.execute(chosen)
    }


def _clear(turn: Turn, worker: str) -> None:
    rows = [row for row in open_attempts(turn.connection, worker) if row.pool == turn.pool]
    # First what waits: a slot that comes free must not be given to the dead.
    for row in rows:
        if row.state == "waiting" and row.sends:
            leave_queue(turn, row, "worker died")
    # What was sent, rejected and then refused keeps its row.
    refused = (_a.worker == worker) & (_a.pool == turn.pool) & (_a.state == "refused") & (_a.sends > 0)
    ended = {"state": "released", "outcome": "worker died", "output": 0, "ended": turn.now}
    turn.connection.execute(update(schema.attempt).where(refused).values(**ended))
    gone = delete(schema.attempt).where(
        _a.worker == worker, _a.pool == turn.pool, _a.state.in_(("waiting", "refused"))
    )
    turn.connection.execute(gone)
    waited = [row for row in rows if row.state == "waiting" and not row.sends]
    for lane in {row.lane for row in waited}:
        turn.queue(lane, -sum(row.lane == lane for row in waited))
    lost = Settlement("unknown", Effect("not_sent"), outcome="worker died")
    for row in rows:
        if row.state == "held":
            settle(turn, row.id, lost)
    if rows:
        note(turn.connection, "worker_died", f"pool={turn.pool}", f"{worker}: {len(rows)} attempts", turn.now)
    pump(turn)


def _end_calls(connection: Connection, worker: str, records: Mapping[str, str], now: float) -> None:
    for call, record in records.items():
        connection.execute(update(schema.call).where(_c.id == call).values(record=record))
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
