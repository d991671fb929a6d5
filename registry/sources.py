"""Sources in the registry: added, found, removed, and what their last look said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import exists, or_, select, true, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from registry import slots, source_rows
from registry.errors import AlreadyExists, NotFound, RegistryError
from registry.locking import FOR_UPDATE, lock_tenant
from registry.schema import Source, TenantCommit

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def add(
    session: Session,
    *,
    name: str,
    tenant_id: str | None,
    kind: str,
    uri: str,
    owner: str,
    options: Mapping[str, str],
    consistency: str,
    now: datetime,
) -> Source:
    """Record a source. The name is unique among a tenant's sources and the shared ones.

    Raises NotFound for a tenant that was erased, AlreadyExists.
    """
    if not NAME.fullmatch(name):
        raise RegistryError(
            f"{name!r} is no source name: letters, digits, '.', '_' and '-', at most 63 characters"
        )
    if tenant_id is not None:
        lock_tenant(session, tenant_id)
    clash = or_(Source.tenant_id == tenant_id, Source.tenant_id.is_(None)) if tenant_id else true()
    if session.scalar(select(Source.id).where(Source.name == name, Source.removed_at.is_(None), clash)):
        raise AlreadyExists(f"there is a source {name!r} already: remove it first or choose another name")
    source = Source(
        name=name,
        tenant_id=tenant_id,
        kind=kind,
        uri=uri,
        owner=owner,
        options=dict(options),
        consistency=consistency,
        created_at=now,
        cursor_state={},
    )
    session.add(source)
    try:
        session.flush()
    except IntegrityError as error:
        raise AlreadyExists(
            f"there is a source {name!r} already: another process added it just now"
        ) from error
    return source


def find(session: Session, name: str, tenant_id: str | None = None) -> Source:
    """The source of this name (of this tenant, or shared). Raises NotFound, RegistryError if several are."""
    query = select(Source).where(Source.name == name, Source.removed_at.is_(None))
    if tenant_id is not None:
        query = query.where(or_(Source.tenant_id == tenant_id, Source.tenant_id.is_(None)))
    found = list(session.scalars(query))
    if not found:
        raise NotFound(f"there is no source {name!r}: see `holdfast source list`")
    if len(found) > 1:
        raise RegistryError(f"several tenants have a source {name!r}: say which with --tenant")
    return found[0]


def newest_removed(session: Session, name: str, tenant_id: str | None = None) -> Source | None:
    """The source of this name (of this tenant, or shared) that was removed last."""
    query = select(Source).where(Source.name == name, Source.removed_at.is_not(None))
    if tenant_id is not None:
        query = query.where(or_(Source.tenant_id == tenant_id, Source.tenant_id.is_(None)))
    return session.scalar(query.order_by(Source.removed_at.desc(), Source.id.desc()).limit(1))


def present(session: Session) -> list[Source]:
    """All sources that were not removed, by name."""
    return list(session.scalars(select(Source).where(Source.removed_at.is_(None)).order_by(Source.name)))


def of_tenant(session: Session, tenant_id: str) -> list[Source]:
    """The sources that feed a tenant: its own, and the shared ones that hold anything for it."""
    feeds = exists().where(TenantCommit.source_id == Source.id, TenantCommit.scope == tenant_id)
    query = (
        select(Source)
        .where(
            Source.removed_at.is_(None),
            or_(Source.tenant_id == tenant_id, Source.tenant_id.is_(None) & feeds),
        )
        .order_by(Source.name)
    )
    return list(session.scalars(query))


def capturable(session: Session, tenant_id: str) -> list[Source]:
    """The sources that a catch-up for a tenant must look at: its own and every shared one."""
    query = (
        select(Source)
        .where(Source.removed_at.is_(None), or_(Source.tenant_id == tenant_id, Source.tenant_id.is_(None)))
        .order_by(Source.name)
    )
    return list(session.scalars(query))


def lock(session: Session, source_id: int) -> Source:
    """The source as it is now, kept from other writers until this transaction ends. Raises NotFound once removed."""
    found = session.get_one(Source, source_id, with_for_update=FOR_UPDATE, populate_existing=True)
    if found.removed_at is not None:
        raise NotFound(f"source {found.name} was removed meanwhile: see `holdfast source list`")
    return found


def remove(session: Session, source: Source, now: datetime) -> None:
    """Stop a source: its documents are hidden at once and leave with the next generation. Raises NotFound."""
    lock(session, source.id)
    session.execute(update(Source).where(Source.id == source.id).values(removed_at=now))
    source_rows.forget_all(session, source.id)
    slots.forget(session, source.id)


def change_options(session: Session, source: Source, options: Mapping[str, str]) -> None:
    """Put these options in place of a source's. Raises NotFound for one that was removed."""
    lock(session, source.id)
    session.execute(update(Source).where(Source.id == source.id).values(options=dict(options)))


def record_look(session: Session, source_id: int, now: datetime, source_time: datetime) -> None:
    """Note that a source was read to its end just now."""
    session.execute(
        update(Source)
        .where(Source.id == source_id)
        .values(checked_at=now, source_time=source_time, error="", failing_since=None)
    )


def record_failure(session: Session, source_id: int, now: datetime, error: str) -> None:
    """Note that a source could not be read. What is captured stays, and so does its last good look."""
    source = session.get_one(Source, source_id)
    source.error = error
    source.failing_since = source.failing_since or now
