"""Leases with fencing tokens (Kleppmann, "How to do distributed locking", 2016).

A token only ever grows; whoever holds an old one may still work, but nothing it made is published.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psutil
from sqlalchemy import update
from sqlalchemy.orm import Session

from registry.errors import LeaseHeld, LeaseLost
from registry.locking import FOR_UPDATE, insert_if_absent
from registry.schema import Lease


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease: a name (a run's id) and the process, so that its death is seen at once here."""

    name: str
    host: str
    pid: int
    started: float

    @classmethod
    def current(cls, name: str) -> Holder:
        """This process under this name."""
        process = psutil.Process(os.getpid())
        return cls(name, socket.gethostname(), process.pid, process.create_time())

    def is_dead(self) -> bool:
        """True only where it can be known: a process of this host that is no longer there."""
        if self.host != socket.gethostname():
            return False
        try:
            process = psutil.Process(self.pid)
            return process.status() == psutil.STATUS_ZOMBIE or abs(process.create_time() - self.started) > 1
        except psutil.NoSuchProcess:
            return True

    def encode(self) -> str:
        return json.dumps([self.name, self.host, self.pid, self.started])

    @classmethod
    def decode(cls, text: str) -> Holder:
        return cls(*json.loads(text))


def acquire(session: Session, name: str, holder: Holder, ttl: float, now: datetime) -> int:
    """Take or keep a lease for `ttl` seconds and give its token. Raises LeaseHeld.

    The same name in the same process keeps its token; every other taker gets a greater one.
    """
    expires = now + timedelta(seconds=ttl)
    if insert_if_absent(session, Lease, name=name, holder=holder.encode(), token=1, expires_at=expires):
        return 1
    lease = session.get_one(Lease, name, with_for_update=FOR_UPDATE, populate_existing=True)
    if lease.expires_at is not None and lease.holder != holder.encode():
        other = Holder.decode(lease.holder)
        if lease.expires_at > now and not other.is_dead():
            raise LeaseHeld(
                f"{name} is held by {other.name} (process {other.pid} on {other.host}) "
                f"until {lease.expires_at:%H:%M:%S} UTC",
                other.name,
            )
    if lease.holder != holder.encode() or lease.expires_at is None:
        lease.token += 1
    lease.holder, lease.expires_at = holder.encode(), expires
    return lease.token


def renew(session: Session, name: str, token: int, ttl: float, now: datetime) -> None:
    """Keep a lease. Raises LeaseLost where another holder took it over."""
    kept = session.execute(
        update(Lease)
        .where(Lease.name == name, Lease.token == token)
        .values(expires_at=now + timedelta(seconds=ttl))
    )
    if kept.rowcount != 1:  # type: ignore[attr-defined]
        raise LeaseLost(f"the lease {name} (token {token}) was taken over: this run may not publish")


def release(session: Session, name: str, token: int) -> None:
    """Give a lease back; one that was taken over is left alone."""
    session.execute(update(Lease).where(Lease.name == name, Lease.token == token).values(expires_at=None))


def release_holder(session: Session, name: str, holder: Holder) -> None:
    """Give a lease back by who holds it."""
    session.execute(
        update(Lease).where(Lease.name == name, Lease.holder == holder.encode()).values(expires_at=None)
    )


def revoke(session: Session, name: str) -> None:
    """Take a lease from whoever holds it; anybody may have it next."""
    session.execute(update(Lease).where(Lease.name == name).values(token=Lease.token + 1, expires_at=None))


def bar(session: Session, name: str) -> None:
    """Close a lease for good: whoever holds it has lost it, and nobody gets it any more."""
    nobody = Holder("what was erased", "", 0, 0).encode()
    never = datetime.max.replace(tzinfo=UTC)
    if insert_if_absent(session, Lease, name=name, holder=nobody, token=1, expires_at=never):
        return
    session.execute(
        update(Lease).where(Lease.name == name).values(holder=nobody, token=Lease.token + 1, expires_at=never)
    )


def is_current(session: Session, name: str, token: int) -> bool:
    """Whether nobody took the lease since this token was given out.

    In a write transaction nobody takes it before that has ended.
    """
    lease = session.get(Lease, name, with_for_update=FOR_UPDATE, populate_existing=True)
    return lease is not None and lease.token == token


def ingest_lease(tenant_id: str) -> str:
    """The name of a tenant's ingestion lease."""
    return f"ingest:{tenant_id}"


def capture_lease(source_id: int) -> str:
    """The name of a source's capture lease."""
    return f"capture:{source_id}"
