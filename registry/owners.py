"""Owners of sources: who they are, and who of them is gone."""

from __future__ import annotations

import re
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from registry import sources
from registry.errors import RegistryError
from registry.locking import insert_if_absent
from registry.schema import Source, SuspendedOwner

EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
LONGEST = 254


def normal(email: str) -> str:
    """An address to compare by: no spaces around it, no capitals."""
    return email.strip().casefold()


def checked(email: str) -> str:
    """The normal form of what may be an address. Raises RegistryError."""
    found = normal(email)
    if not EMAIL.fullmatch(found) or len(found) > LONGEST:
        raise RegistryError(f"{email!r} is no e-mail address")
    return found


def suspend(session: Session, email: str, by: str, now: datetime) -> bool:
    """Note that nobody answers this address any more; False where that was known. Raises RegistryError."""
    return insert_if_absent(session, SuspendedOwner, email=checked(email), suspended_at=now, suspended_by=by)


def resume(session: Session, email: str) -> bool:
    """The address is answered again; False where it was not suspended. Raises RegistryError."""
    gone = delete(SuspendedOwner).where(SuspendedOwner.email == checked(email))
    return session.execute(gone.returning(SuspendedOwner.email)).first() is not None


def suspended(session: Session) -> dict[str, SuspendedOwner]:
    """Suspended owners by the normal form of their address."""
    return {row.email: row for row in session.scalars(select(SuspendedOwner))}


def assign(session: Session, source: Source, email: str) -> str:
    """Make somebody the owner of a source and give the address as stored. Raises RegistryError, NotFound."""
    found = checked(email)
    sources.lock(session, source.id)
    session.execute(update(Source).where(Source.id == source.id).values(owner=found))
    return found
