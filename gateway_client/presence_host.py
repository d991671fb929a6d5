"""Presence on one host: a locked file says who lives, a datagram socket takes wakes."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import socket
import stat
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from sqlalchemy import Connection

from gateway_client.wake import WAKE, Peer

# A Unix socket's path fails past 107 bytes.
LONGEST_ADDRESS = 100
LONGEST_MESSAGE = 1_000


class HostPresence:
    """One worker of this host."""

    def __init__(self, database: Path, worker: str) -> None:
        self.id = worker
        self.key = 0
        self._folder = Path(f"{database}.workers")
        self.address = _address(database, worker)
        self._lock = -1
        self._socket: socket.socket | None = None
        self._on_wake: Callable[[str], None] = lambda told: None

    def appear(self, on_wake: Callable[[str], None]) -> None:
        self._on_wake = on_wake
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self._folder / self.id, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if self.address:
            self._listen()

    def _listen(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        threading.Thread(target=self._serve, args=(self._socket,), name="gateway-wake", daemon=True).start()

    def _serve(self, listening: socket.socket) -> None:
        while True:
            try:
                told = listening.recv(LONGEST_MESSAGE)
            except OSError:
                return
            if not told:
                return
            self._on_wake(told.decode(errors="replace"))

    def ping(self, addresses: Iterable[str]) -> None:
        self.announce(addresses, WAKE)

    def announce(self, addresses: Iterable[str], told: str) -> None:
        speaking = self._socket
        if speaking is None:
            return
        for address in addresses:
            # Its process has gone, or has more wakes waiting than it can take: it looks by itself.
            with contextlib.suppress(OSError):
                speaking.sendto(told.encode(), socket.MSG_DONTWAIT, address)

    def dead(self, connection: Connection, peer: Peer) -> bool:
        try:
            found = os.open(self._folder / peer.id, os.O_RDWR)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(found)
        return True

    def bury(self, peer: Peer) -> None:
        (self._folder / peer.id).unlink(missing_ok=True)
        if peer.address:
            Path(peer.address).unlink(missing_ok=True)

    def vanish(self) -> None:
        self.bury(Peer(self.id, self.key, self.address))
        self.abandon(wake=True)

    def abandon(self, *, wake: bool = False) -> None:
        if self._socket is not None:
            if wake:
                self._end_thread(self._socket)
            self._socket.close()
            self._socket = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _end_thread(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)


def _address(database: Path, worker: str) -> str:
    """Where the socket goes: a short path in a folder of this user's own; empty where there is none."""
    name = hashlib.sha256(str(database).encode()).hexdigest()[:8]
    for base in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - checked to be ours alone
        folder = Path(base) / f"hf-gw-{os.getuid()}-{name}"
        address = str(folder / worker[:12])
        if len(address.encode()) <= LONGEST_ADDRESS and _is_ours(folder):
            return address
    return ""


def _is_ours(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
