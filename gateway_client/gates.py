"""The gates of the pools as this process knows them: shut at once, long before the ledger has written it.

A provider's `Retry-After` holds for everybody. The ledger grants nothing while a gate is shut, but what was granted
before is on its way in every process; so a process that is told to wait tells the others directly.
"""

from __future__ import annotations

import asyncio
import re

from gateway_client.pools.gate import LONGEST

_TOLD = re.compile(r"shut (?P<worker>\S+) (?P<seconds>\d+\.\d{3}) (?P<pool>.+)", re.DOTALL)
# A gate that moves by less than this is not worth a message.
_NEWS_SECONDS = 0.001


class Gates:
    """One per event loop, by whose clock it counts. Not to be used from other threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._until: dict[str, float] = {}

    def shut(self, pool: str, seconds: float) -> bool:
        """Shut a pool's gate for so many seconds from now; False where it was shut for as long before."""
        wanted, known = min(seconds, LONGEST), self.shut_for(pool)
        if wanted > known:
            self._until[pool] = self._loop.time() + wanted
        return wanted > known + _NEWS_SECONDS

    def shut_for(self, pool: str) -> float:
        """Seconds until it opens; 0 if it is open."""
        return max(0.0, self._until.get(pool, 0.0) - self._loop.time())

    async def opened(self, pool: str) -> float:
        """Wait until it is open; returns the seconds that this took."""
        began = self._loop.time()
        while (wait := self.shut_for(pool)) > 0:
            await asyncio.sleep(wait)
        return self._loop.time() - began


def announcement(worker: str, pool: str, seconds: float) -> str:
    """What a worker tells the others of a gate."""
    return f"shut {worker} {min(seconds, LONGEST):.3f} {pool}"


def announced(told: str, own: str) -> tuple[str, float] | None:
    """The pool and the seconds of another worker's announcement; None for anything else, and for our own."""
    found = _TOLD.fullmatch(told)
    if found is None or found["worker"] == own:
        return None
    return found["pool"], float(found["seconds"])
