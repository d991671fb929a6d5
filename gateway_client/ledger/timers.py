"""When to look at a pool again: one timer a pool, the nearest that was asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Timers:
    """By pool. To be used on the event loop; `fire` is called with the pool."""

    def __init__(self, fire: Callable[[str], None]) -> None:
        self._fire = fire
        self._set: dict[str, asyncio.TimerHandle] = {}

    def set(self, pool: str, seconds: float) -> None:
        """Fire in so many seconds, unless that is to happen earlier anyway."""
        loop = asyncio.get_running_loop()
        when, before = loop.time() + max(0.0, seconds), self._set.get(pool)
        if before is not None and before.when() <= when:
            return
        if before is not None:
            before.cancel()
        self._set[pool] = loop.call_at(when, self._fired, pool)

    def _fired(self, pool: str) -> None:
        del self._set[pool]
        self._fire(pool)

    def cancel(self) -> None:
        """Fire no more."""
        for handle in self._set.values():
            handle.cancel()
        self._set.clear()
