"""Presence on PostgreSQL: one connection that listens and holds an advisory lock; it lives while that does."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from collections.abc import Callable, Iterable
from typing import Any

import psycopg
from sqlalchemy import Connection, bindparam, make_url, text
from sqlalchemy.types import BigInteger

from gateway_client.store.postgres import CHANNEL
from gateway_client.wake import WAKE, Peer

_TRY = text("select pg_try_advisory_xact_lock(:key)").bindparams(bindparam("key", type_=BigInteger))
# A host that lost its power sends no goodbye: the server notices within seconds.
KEEPALIVE = "set tcp_keepalives_idle = 2; set tcp_keepalives_interval = 1; set tcp_keepalives_count = 3"


class PostgresPresence:
    """One worker of this database. Its address is its id."""

    def __init__(self, url: str, worker: str) -> None:
        self.id = worker
        self.address = worker
        self.key = secrets.randbits(62)
        self._url = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._connection: psycopg.Connection[Any] | None = None
        self._on_wake: Callable[[str], None] = lambda told: None
        self._announcing = threading.Lock()
        self._speaker: psycopg.Connection[Any] | None = None
        self._gone = False

    def appear(self, on_wake: Callable[[str], None]) -> None:
        self._on_wake = on_wake
        self._connect()
        threading.Thread(target=self._serve, name="gateway-wake", daemon=True).start()

    def _connect(self) -> None:
        self._connection = psycopg.connect(self._url, autocommit=True, connect_timeout=5)
        self._connection.execute(KEEPALIVE)
        self._connection.execute("select pg_advisory_lock(%s)", [self.key])
        self._connection.execute(f"listen {CHANNEL}")

    def _serve(self) -> None:
        while not self._gone:
            try:
                assert self._connection is not None
                for notice in self._connection.notifies(timeout=1.0):
                    if notice.payload == self.address:
                        self._on_wake(WAKE)
                    elif " " in notice.payload:
                        self._on_wake(notice.payload)
            except (psycopg.Error, OSError):
                self._reconnect()

    def _reconnect(self) -> None:
        # Others may have taken us for dead meanwhile; the housekeeping finds out and signs on again.
        with contextlib.suppress(psycopg.Error, OSError):
            if not self._gone:
                threading.Event().wait(0.5)
                self._connect()

    def ping(self, addresses: Iterable[str]) -> None:
        """NOTIFY went out with the transaction."""

    def announce(self, addresses: Iterable[str], told: str) -> None:
        """On a connection of its own: the other one listens, and the store's may wait for locks."""
        with self._announcing, contextlib.suppress(psycopg.Error, OSError):
            if self._speaker is None or self._speaker.closed:
                self._speaker = psycopg.connect(self._url, autocommit=True, connect_timeout=5)
            self._speaker.execute("select pg_notify(%s, %s)", [CHANNEL, told])

    def dead(self, connection: Connection, peer: Peer) -> bool:
        return bool(connection.execute(_TRY, {"key": peer.key}).scalar_one())

    def bury(self, peer: Peer) -> None:
        """It left nothing outside the database."""

    def vanish(self) -> None:
        self._gone = True
        for connection in (self._connection, self._speaker):
            if connection is not None:
                connection.close()

    def abandon(self) -> None:
        self._gone = True
        for connection in (self._connection, self._speaker):
            if connection is not None:
                _disconnect(connection)


def _disconnect(connection: psycopg.Connection[Any]) -> None:
    """Not closed: the goodbye would end the parent's session. Its descriptor points nowhere from here on."""
    with contextlib.suppress(psycopg.Error, OSError):
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, connection.fileno())
        os.close(nowhere)
