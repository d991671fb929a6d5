"""Settlements that nobody waits for: after their answers, at once, and again where the store was not there."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace

from gateway_client.errors import ClientClosed, StoreUnavailable
from gateway_client.ledger.entries import Ending, Settlement

log = logging.getLogger("holdfast.gateway")

ANSWER_FIRST_SECONDS = 0.001
Pending = tuple[str, str, Settlement, Ending | None]


class Settling:
    """Until a settlement is written, the attempt's hold stands for it. `settle` writes one: pool, attempt, its end."""

    def __init__(self, settle: Callable[[str, str, Settlement, Ending | None], Future[bool]]) -> None:
        self._settle = settle
        self._answered: list[Pending] = []
        self._missed: deque[Pending] = deque()  # filled by the store's threads

    def soon(self, pending: Pending) -> None:
        """Settle, a moment later: a thread of the store that wakes up takes the interpreter from who was answered."""
        self._answered.append(pending)
        if len(self._answered) == 1:
            asyncio.get_running_loop().call_later(ANSWER_FIRST_SECONDS, self.now)

    def now(self) -> None:
        """Settle all that was answered."""
        answered, self._answered = self._answered, []
        with contextlib.suppress(ClientClosed):  # closing clears everything up
            for pending in answered:
                self._settle(*pending).add_done_callback(functools.partial(self._look_after, pending))

    def _look_after(self, pending: Pending, done: Future[bool]) -> None:
        error = None if done.cancelled() else done.exception()
        if isinstance(error, StoreUnavailable):
            self.later(pending)
        elif error is not None:
            pool, attempt, settlement, ending = pending
            log.error(
                "attempt %s cannot be settled as told (%s): it is unknown", attempt, type(error).__name__
            )
            if settlement.state != "unknown":
                self.later((pool, attempt, replace(settlement, state="unknown", usage=None), ending))

    def later(self, pending: Pending) -> None:
        """Settle when the store is there again."""
        self._missed.append(pending)

    def again(self) -> None:
        """Try what the store was not there for."""
        while self._missed:
            self._answered.append(self._missed.popleft())
        self.now()
