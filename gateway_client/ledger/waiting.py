"""Those of this process who wait for a slot, and what they are told."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass

from gateway_client.ledger.entries import Answer


@dataclass(frozen=True, slots=True)
class Wish:
    """An attempt that wants its grant number `sends`, within `patience` seconds."""

    pool: str
    attempt: str
    patience: float
    sends: int


class Waiters:
    """By attempt. To be used on the event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[Wish, asyncio.Future[Answer]]] = {}
        self._pools: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, wish: Wish) -> asyncio.Future[Answer]:
        """Somebody waits; the future is the answer to that wish, or to a later one."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[wish.attempt] = wish, future
        self._pools[wish.pool] += 1
        return future

    def remove(self, attempt: str) -> None:
        """Nobody waits for it any more."""
        wish, _ = self._waiting.pop(attempt)
        self._pools[wish.pool] -= 1
        if not self._pools[wish.pool]:
            del self._pools[wish.pool]

    def pools(self) -> Set[str]:
        """The pools that somebody waits for."""
        return self._pools.keys()

    def resolve(self, answers: Mapping[str, Answer]) -> None:
        """Tell those whose attempts were granted or refused; an old grant is news to nobody."""
        for attempt, answer in answers.items():
            wish, future = self._waiting.get(attempt, (None, None))
            if wish is None or future is None or future.done() or answer.waiting:
                continue
            if answer.refusal is not None or answer.sends >= wish.sends:
                future.set_result(answer)

    def fail(self, error: Exception) -> None:
        """Nobody will be told any more."""
        for _, future in self._waiting.values():
            if not future.done():
                future.set_exception(error)
                future.exception()  # it is raised for whoever comes to wait for it; nobody may
