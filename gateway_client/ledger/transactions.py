"""Every operation of the ledger as one blocking transaction, with a crash point before, inside and after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from sqlalchemy import Connection, insert, select

from gateway_client.crash_points import crash_point
from gateway_client.ledger import calls, recovery, settlement
from gateway_client.ledger.admission import admit, answer
from gateway_client.ledger.budgets import cap_pools, set_budget
from gateway_client.ledger.calls import Claimed
from gateway_client.ledger.entries import Answer, Ask, CallRow, Effect, Ending, Notices, Settlement
from gateway_client.ledger.pump import pump
from gateway_client.ledger.terms import TermsCache
from gateway_client.ledger.turn import Turn, ensure_pools, open_turn
from gateway_client.pools.declared import PoolConfig
from gateway_client.scopes import Span, Unit
from gateway_client.store import schema
from gateway_client.store.database import Database
from gateway_client.wake import Peer, Presence

T = TypeVar("T")


class Transactions:
    """The ledger's operations on a store, blocking, each atomic. Any thread may call them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.terms = TermsCache()

    def declare(self, pools: dict[str, PoolConfig], monthly_caps: dict[str, int] | None = None) -> None:
        """Write the pools of a catalogue, with their caps of a month in micro-dollars."""

        def work(connection: Connection) -> None:
            ensure_pools(connection, pools)
            cap_pools(connection, monthly_caps or {})

        self.database.write(work)

    def register(self, presence: Presence, pid: int, host: str) -> None:
        """Write a worker's row."""

        def work(connection: Connection) -> None:
            row = {
                "id": presence.id,
                "key": presence.key,
                "pid": pid,
                "host": host,
                "address": presence.address,
            }
            connection.execute(insert(schema.worker), {**row, "started": self.database.now(connection)})

        self.database.write(work)

    def admit(self, ask: Ask) -> tuple[Answer, Notices]:
        """Grant, refuse or queue an attempt."""
        return self._turn("admit", ask.pool, lambda turn: admit(turn, ask))

    def settle(
        self, pool: str, attempt: str, settled: Settlement, ending: Ending | None = None
    ) -> tuple[bool, Notices]:
        """End an attempt, and its call with it where this was the last one."""

        def work(turn: Turn) -> bool:
            done = settlement.settle(turn, attempt, settled)
            if ending is not None:
                calls.end(turn.connection, ending, turn.now)
            return done

        return self._turn("settle", pool, work)

    def requeue(self, pool: str, attempt: str, effect: Effect, backoff: float) -> tuple[bool, Notices]:
        """After a rejection: wait again, in the old place, for at least `backoff` seconds."""
        return self._turn("requeue", pool, lambda turn: settlement.requeue(turn, attempt, effect, backoff))

    def withdraw(self, pool: str, attempt: str) -> tuple[None, Notices]:
        """The caller is gone."""
        return self._turn("withdraw", pool, lambda turn: settlement.withdraw(turn, attempt))

    def pump(self, pool: str) -> tuple[None, Notices]:
        """Hand out what room there is."""
        return self._turn("pump", pool, pump)

    def spend_retry(self, pool: str) -> tuple[bool, Notices]:
        """Take a retry token."""
        return self._turn("pump", pool, settlement.spend_retry)

    def claim(self, row: CallRow, *, buy_again: bool) -> Claimed:
        """Become the dispatcher of an idempotency key."""

        def work(connection: Connection) -> Claimed:
            return calls.claim(connection, row, buy_again=buy_again, now=self.database.now(connection))

        return self._write("claim", work)

    def finish(self, ending: Ending) -> None:
        """End a call that has no attempt left to settle."""

        def work(connection: Connection) -> None:
            calls.end(connection, ending, self.database.now(connection))

        self._write("finish", work)

    def answers(self, worker: str) -> Mapping[str, Answer]:
        """What became of everything that a worker has open."""

        def work(connection: Connection) -> Mapping[str, Answer]:
            rows = settlement.open_attempts(connection, worker)
            return {row.id: answer(row.state, row.refusal, row.sends) for row in rows}

        return self.database.read(work)

    def peers(self) -> list[Peer]:
        """Every worker that signed on."""

        def work(connection: Connection) -> list[Peer]:
            rows = connection.execute(select(schema.worker).order_by(schema.worker.c.id))
            return [Peer(row.id, row.key, row.address) for row in rows]

        return self.database.read(work)

    def recover(self, presence: Presence) -> Notices:
        """Clear up after every worker that died; also returns whom to tell of the room that this makes."""
        notices = Notices()
        for peer in self.peers():
            if peer.id == presence.id or not self.database.read(lambda c, p=peer: presence.dead(c, p)):  # type: ignore[misc]
                continue
            found = self._write("recover", lambda c, p=peer: self._recovered(c, p))  # type: ignore[misc]
            presence.bury(peer)
            _merge(notices, found)
        return notices

    def _recovered(self, connection: Connection, peer: Peer) -> Notices:
        return recovery.recover(self.database, connection, self.terms, peer.id)

    def cap_run(self, tenant: str, run: str, most: int) -> None:
        """Limit what all calls of a run may cost together, in micro-dollars."""
        scope = f"tenant={tenant},run={run}"
        self.database.write(
            lambda connection: set_budget(connection, scope, Span.TOTAL, Unit.MICRODOLLARS, most)
        )

    def sign_off(self, worker: str) -> Notices:
        """A worker ends on its own: whatever it still has open is cleared up as if it had died."""

        def work(connection: Connection) -> Notices:
            return recovery.recover(self.database, connection, self.terms, worker)

        return self._write("recover", work)

    def tidy(self) -> None:
        """Wipe replies whose time is over, and forget idle tenants."""

        def work(connection: Connection) -> None:
            recovery.expire(connection, self.database.now(connection))
            recovery.forget_flows(connection)

        self.database.write(work)

    def _turn(self, name: str, pool: str, work: Callable[[Turn], T]) -> tuple[T, Notices]:
        def transaction(connection: Connection) -> tuple[T, Notices]:
            turn = open_turn(self.database, connection, self.terms, pool)
            found = work(turn)
            return found, turn.close()

        return self._write(name, transaction)

    def _write(self, name: str, work: Callable[[Connection], T]) -> T:
        def crashing(connection: Connection) -> T:
            found = work(connection)
            crash_point(f"gateway.{name}.inside")
            return found

        crash_point(f"gateway.{name}.before")
        found = self.database.write(crashing)
        crash_point(f"gateway.{name}.after")
        return found


def _merge(into: Notices, more: Notices) -> None:
    for worker, answers in more.answers.items():
        into.answers.setdefault(worker, {}).update(answers)
    into.again |= more.again
    for pool, seconds in more.next_in.items():
        into.look_in(pool, seconds)
