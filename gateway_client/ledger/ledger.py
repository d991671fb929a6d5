"""The ledger for asynchronous code: admissions are waited for, settlements cannot be cancelled.

One per process and event loop. Everything that touches the store runs in its threads, by priority; what was
submitted there runs even when the task that submitted it is cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from gateway_client.errors import ClientClosed, DeadlineExceeded, GatewayError, StoreUnavailable
from gateway_client.gates import Gates, announced
from gateway_client.lanes import Lane
from gateway_client.ledger.calls import Claimed
from gateway_client.ledger.duties import Duties
from gateway_client.ledger.entries import Answer, Ask, CallRow, Effect, Ending, Notices, Settlement, new_id
from gateway_client.ledger.neighbours import Neighbours
from gateway_client.ledger.settling import Settling
from gateway_client.ledger.store_work import StoreWork
from gateway_client.ledger.timers import Timers
from gateway_client.ledger.transactions import Transactions
from gateway_client.ledger.waiting import Waiters, Wish
from gateway_client.pools.declared import PoolConfig
from gateway_client.store.database import Database
from gateway_client.store.threads import Priority
from gateway_client.wake import WAKE, Presence, presence

T = TypeVar("T")
LIVENESS_SECONDS = 0.5
POLL_SECONDS = 1.0
TIDY_SECONDS = 60.0
_LOST = Answer()


class Ledger:
    """Admission, settlement and recovery, shared with every other process on the same store."""

    def __init__(self, database: Database) -> None:
        self.worker = new_id()
        self._database = database
        self._transactions = Transactions(database)
        self._work = StoreWork(database)
        self._presence: Presence = presence(database, self.worker)
        self._neighbours = Neighbours(self._presence, self._transactions)
        self._waiters = Waiters()
        self._settling = Settling(self.settle)
        self._timers = Timers(self._pump)
        self._duties = Duties()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._looking = False
        self._run_caps: dict[tuple[str, str], int] = {}

    async def open(self, pools: dict[str, PoolConfig], monthly_caps: dict[str, int] | None = None) -> None:
        """Sign on, clear up after the dead, declare the pools. Raises StoreUnavailable."""
        self._loop = asyncio.get_running_loop()
        self.gates = Gates(self._loop)
        await self._work.ask(Priority.LOOK, lambda: self._sign_on(pools, monthly_caps))
        self._duties.every(LIVENESS_SECONDS, lambda: self._work.ask(Priority.LOOK, self._recover))
        self._duties.every(POLL_SECONDS, self._poll)
        self._duties.every(TIDY_SECONDS, lambda: self._work.ask(Priority.BATCH, self._transactions.tidy))

    def _sign_on(self, pools: dict[str, PoolConfig], monthly_caps: dict[str, int] | None) -> None:
        self._presence.appear(self._woken)
        self._transactions.register(self._presence, os.getpid(), socket.gethostname()[:200])
        self._transactions.declare(pools, monthly_caps)
        self._tell(self._transactions.recover(self._presence))

    async def admit(self, ask: Ask) -> Answer:
        """Wait until an attempt may be sent. Returns a grant or a refusal. Raises DeadlineExceeded, StoreUnavailable.

        Cancelled at any moment, it leaves nothing held.
        """
        self._check_open()
        self._settling.now()  # what a caller's last call gave back is its next call's to take
        priority = Priority.BATCH if ask.lane == Lane.BATCH else Priority.INTERACTIVE
        return await self._wait_for(
            Wish(ask.pool, ask.id, ask.patience, 1), priority, lambda: self._transactions.admit(ask)
        )

    async def requeue(self, wish: Wish, effect: Effect, *, backoff: float) -> Answer:
        """After a rejection: wait again with the same hold, in the old place, for its next grant."""
        pool, attempt = wish.pool, wish.attempt

        def work() -> tuple[Answer, Notices]:
            done, notices = self._transactions.requeue(pool, attempt, effect, backoff)
            # It may have been granted again by the same transaction; then the notices say so.
            return (notices.answers.get(self.worker, {}).get(attempt, _LOST) if done else _LOST), notices

        return await self._wait_for(wish, Priority.SETTLE, work)

    async def _wait_for(
        self,
        wish: Wish,
        priority: Priority,
        work: Callable[[], tuple[Answer, Notices]],
    ) -> Answer:
        loop = asyncio.get_running_loop()
        pool, until = wish.pool, loop.time() + wish.patience
        waiter = self._waiters.add(wish)
        submitted = self._submit(priority, work)
        try:
            async with asyncio.timeout_at(until):
                answer = await self._work.result(submitted, None)
                answer = await waiter if answer.waiting else answer
        except TimeoutError as error:
            self._undo(submitted, wish)
            raise DeadlineExceeded(
                f"the call's time was up while it waited for a slot of pool {pool!r}: nothing is being sent"
            ) from error
        except BaseException:
            self._undo(submitted, wish)
            raise
        finally:
            self._waiters.remove(wish.attempt)
        if answer.waiting:
            self._undo(submitted, wish)
            raise StoreUnavailable(
                f"worker {self.worker} was taken for dead while it waited for pool {pool!r}; ask again"
            )
        if answer.refusal is not None and answer.queued:
            self._undo(submitted, wish)
        return answer

    def _check_open(self) -> None:
        if self._closed:
            raise ClientClosed("the gateway client was closed: nothing is being sent")

    def _undo(self, submitted: Future[Any], wish: Wish) -> None:
        """Whatever was or will be written of this attempt is taken back, after it was."""
        if submitted.cancel() and wish.sends == 1:
            return  # nothing ever was
        submitted.add_done_callback(lambda _: self._withdraw(wish.pool, wish.attempt))

    def _withdraw(self, pool: str, attempt: str) -> None:
        with contextlib.suppress(ClientClosed):  # closing clears everything up
            self._submit(Priority.SETTLE, lambda: self._transactions.withdraw(pool, attempt))

    def settle(
        self, pool: str, attempt: str, settlement: Settlement, ending: Ending | None = None
    ) -> Future[bool]:
        """End an attempt. It is done whether or not anybody waits for the future."""
        return self._submit(
            Priority.SETTLE, lambda: self._transactions.settle(pool, attempt, settlement, ending)
        )

    async def settled(
        self, pool: str, attempt: str, settlement: Settlement, ending: Ending | None = None
    ) -> bool:
        """End an attempt and wait until that is written. Raises StoreUnavailable."""
        return await self._work.result(self.settle(pool, attempt, settlement, ending))

    def settle_surely(
        self, pool: str, attempt: str, settlement: Settlement, ending: Ending | None = None
    ) -> None:
        """End an attempt without waiting for it; again later, if the store is not there."""
        self._settling.soon((pool, attempt, settlement, ending))

    def settle_later(
        self, pool: str, attempt: str, settlement: Settlement, ending: Ending | None = None
    ) -> None:
        """End an attempt as soon as the store is there again."""
        self._settling.later((pool, attempt, settlement, ending))

    async def cap_run(self, tenant: str, run: str, most: int) -> None:
        """Limit what all calls of a run may cost together, in micro-dollars."""
        if self._run_caps.get((tenant, run)) != most:
            await self._work.ask(Priority.INTERACTIVE, lambda: self._transactions.cap_run(tenant, run, most))
            self._run_caps[tenant, run] = most

    async def claim(self, row: CallRow, *, buy_again: bool) -> Claimed:
        """Become the one dispatcher of an idempotency key, or learn why not."""
        self._check_open()
        submitted = self._work.submit(
            Priority.INTERACTIVE, lambda: self._transactions.claim(row, buy_again=buy_again)
        )
        try:
            return await self._work.result(submitted)
        except asyncio.CancelledError:
            if not submitted.cancel():
                submitted.add_done_callback(lambda done: self._unclaim(done, row))
            raise

    def _unclaim(self, done: Future[Claimed], row: CallRow) -> None:
        if not done.cancelled() and done.exception() is None and done.result().kind == "yours":
            with contextlib.suppress(ClientClosed):  # closing ends every row
                self.finish(Ending(done.result().call, "failed", "cancelled"))

    def finish(self, ending: Ending) -> Future[None]:
        """End a call that has no attempt left to settle."""
        return self._work.submit(Priority.SETTLE, lambda: self._transactions.finish(ending))

    async def finished(self, ending: Ending) -> None:
        """End a call and wait until that is written."""
        await self._work.result(self.finish(ending))

    async def spend_retry(self, pool: str) -> bool:
        """Take a retry token from a pool, if it has one."""
        submitted = self._submit(Priority.SETTLE, lambda: self._transactions.spend_retry(pool))
        return await self._work.result(submitted)

    async def close(self) -> None:
        """Sign off: what is still open is charged at its maximum, until a bill corrects it."""
        if self._closed:
            return
        self._closed = True
        self._timers.cancel()
        self._waiters.fail(ClientClosed("the gateway client was closed while the call waited"))
        await self._duties.end()
        # What is being settled must not be cleared up as if it were lost.
        self._settling.again()
        await self._work.finish()
        with contextlib.suppress(GatewayError):  # whoever is there next clears up
            await self._work.close(self._sign_off)
        self._presence.vanish()
        self._database.close()

    def _sign_off(self) -> None:
        self._neighbours.wake(self._transactions.sign_off(self.worker).answers)

    def abandon(self) -> None:
        """After a fork, in the child: let go of everything without a word to the parent's store."""
        self._closed = True
        self._presence.abandon()
        self._database.engine.dispose(close=False)

    def _submit(self, priority: Priority, work: Callable[[], tuple[T, Notices]]) -> Future[T]:
        def told() -> T:
            found, notices = work()
            self._tell(notices)
            return found

        return self._work.submit(priority, told)

    def _tell(self, notices: Notices) -> None:
        """From a store's thread: answer own waiters, wake other workers."""
        own = notices.answers.pop(self.worker, {})
        self._neighbours.wake(notices.answers)
        if (own or notices.again or notices.next_in) and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._heed, own, notices)

    def _heed(self, own: dict[str, Answer], notices: Notices) -> None:
        self._waiters.resolve(own)
        if self._closed:
            return
        for pool in notices.again:
            self._pump(pool)
        for pool in notices.next_in.keys() & self._waiters.pools():
            self._timers.set(pool, notices.next_in[pool])

    def shut(self, pool: str, seconds: float) -> None:
        """Nothing more is to be sent to a pool for so long: known here at once, and told to every other process."""
        if self.gates.shut(pool, seconds) and not self._closed:
            self._neighbours.announce_gate(pool, seconds)

    def _woken(self, told: str) -> None:
        if self._loop is not None and not self._closed:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._heard, told)

    def _heard(self, told: str) -> None:
        gate = announced(told, self.worker)
        if gate is not None:
            self.gates.shut(*gate)
        elif told == WAKE:
            self._look()

    def _look(self) -> None:
        """Ask the store what became of those that wait; one question at a time answers all."""
        if self._looking or self._closed or not self._waiters:
            return
        self._looking = True
        self._duties.once(self._look_once())

    async def _look_once(self) -> None:
        try:
            found = await self._work.ask(Priority.LOOK, lambda: self._transactions.answers(self.worker))
        except GatewayError:
            return  # the next look, or the deadline, tells
        finally:
            self._looking = False
        self._waiters.resolve(found)

    def _pump(self, pool: str) -> None:
        if not self._closed:
            self._submit(Priority.LOOK, lambda: self._transactions.pump(pool))

    def _recover(self) -> None:
        self._tell(self._transactions.recover(self._presence))
        if all(peer.id != self.worker for peer in self._neighbours.all()):
            self._transactions.register(self._presence, os.getpid(), socket.gethostname()[:200])

    async def _poll(self) -> None:
        self._look()
        self._settling.again()
        for pool in set(self._waiters.pools()):
            self._pump(pool)
