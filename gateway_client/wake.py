"""Presence of a worker among the others: proof that it lives, and a way to wake it.

On one host a worker lives as long as it holds a file lock, and is woken by a datagram (0.23 ms). On PostgreSQL it
lives as long as its listening connection, which holds an advisory lock, and is woken by NOTIFY (0.55 ms): the server
sees a closed connection at once, where a heartbeat would take a busy process for a dead one. Wakes may be
lost; everybody also looks once a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection

from gateway_client.store.database import Database

WAKE = "wake"


@dataclass(frozen=True, slots=True)
class Peer:
    """Another worker as its row tells."""

    id: str
    key: int
    address: str


class Presence(Protocol):
    """One worker's."""

    id: str
    key: int
    address: str

    def appear(self, on_wake: Callable[[str], None]) -> None:
        """Begin to live. `on_wake` is called from any thread, with what was told: `wake` or an announcement."""

    def ping(self, addresses: Iterable[str]) -> None:
        """Wake these workers, as well as can be."""

    def announce(self, addresses: Iterable[str], told: str) -> None:
        """Tell these workers something at once, as well as can be. It may block for a moment."""

    def dead(self, connection: Connection, peer: Peer) -> bool:
        """Whether a peer is certainly dead."""

    def bury(self, peer: Peer) -> None:
        """Remove what a dead peer left outside the database."""

    def vanish(self) -> None:
        """Stop living, and leave nothing behind."""

    def abandon(self) -> None:
        """After a fork, in the child: let go of what is the parent's, without ending the parent's life."""


def presence(database: Database, worker: str) -> Presence:
    """The presence that fits a store."""
    from gateway_client.presence_host import HostPresence
    from gateway_client.presence_postgres import PostgresPresence
    from gateway_client.store.postgres import PostgresDatabase
    from gateway_client.store.sqlite import SqliteDatabase

    if isinstance(database, PostgresDatabase):
        return PostgresPresence(database.url, worker)
    if not isinstance(database, SqliteDatabase):
        raise TypeError(f"no presence fits a {type(database).__name__}")
    return HostPresence(database.path, worker)
