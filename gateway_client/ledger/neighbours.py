"""The other workers on the same store: who they are, and how they are told something."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from gateway_client.gates import announcement
from gateway_client.ledger.transactions import Transactions
from gateway_client.wake import Peer, Presence

FRESH_SECONDS = 0.5


class Neighbours:
    """As the store's rows tell, looked up again when they are half a second old."""

    def __init__(self, presence: Presence, transactions: Transactions) -> None:
        self._presence = presence
        self._transactions = transactions
        self._found: list[Peer] = []
        self._at = -FRESH_SECONDS
        self._telling: set[asyncio.Future[None]] = set()

    def all(self) -> list[Peer]:
        """Every worker, this one too. Blocking. Raises StoreUnavailable."""
        now = time.monotonic()
        if now - self._at > FRESH_SECONDS:
            self._found, self._at = self._transactions.peers(), now
        return self._found

    def reachable(self) -> set[str]:
        """Ids of the workers that an announcement reaches."""
        return {peer.id for peer in self._found}

    def wake(self, workers: Iterable[str]) -> None:
        """Have them look at the store. Blocking. Raises StoreUnavailable."""
        others = set(workers) - {self._presence.id}
        if others:
            self._presence.ping(peer.address for peer in self.all() if peer.id in others)

    def announce_gate(self, pool: str, seconds: float) -> None:
        """Tell everybody, from the event loop, without waiting for it."""
        others = [peer.address for peer in self._found if peer.id != self._presence.id]
        told = announcement(self._presence.id, pool, seconds)
        telling = asyncio.get_running_loop().run_in_executor(None, self._presence.announce, others, told)
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)
