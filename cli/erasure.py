"""Erasing a tenant: its rows in one transaction, then its indices and mirrors, then its partition."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from cli.opening import mirrors
from cli.overview import index_bytes
from cli.partitions import synchronise_partitions
from registry import tenants
from registry.database import Registry
from registry.schema import Source, Tenant
from registry.settings import Settings
from retrieval.index.edge.layout import Layout
from retrieval.index.store import GenerationRef
from retrieval.opening import open_store


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure removed. `still_open`: generations that a running process still had open."""

    tenant: str
    id: str
    status: str
    generations: int
    bytes: int
    still_open: int


def erase_tenant(registry: Registry, settings: Settings, tenant: Tenant) -> Erased:
    """Erase a tenant. Once the registry has committed nothing of it is served; the files follow."""
    size = index_bytes(settings, tenant.id)
    with registry.write() as session:
        orphans = _mirrors_of(session, tenant, settings)
        tenants.erase(session, tenants.find(session, tenant.id))
    count, still_open = _remove_index(settings, tenant.id)
    for mirror in orphans:
        shutil.rmtree(mirror, ignore_errors=not mirror.exists())
    synchronise_partitions(settings, registry)
    return Erased(tenant.name, tenant.id, "erased", count, size, still_open)


def _remove_index(settings: Settings, tenant_id: str) -> tuple[int, int]:
    store = open_store(settings)
    try:
        numbers = store.generations(tenant_id)
        still_open = sum(not store.remove(GenerationRef(tenant_id, number)) for number in numbers)
        store.discard_stages(tenant_id)
    finally:
        store.close()
    # An open reader keeps what it has mapped until it closes; the names, and so the data, are gone now.
    folder = Layout(settings.index).tenant(tenant_id)
    if folder.exists():
        shutil.rmtree(folder)
    return len(numbers), still_open


def _mirrors_of(session: Session, tenant: Tenant, settings: Settings) -> list[Path]:
    """Mirrors of repositories that only this tenant's sources read."""
    rows = session.execute(
        select(Source.uri, Source.tenant_id, Source.removed_at).where(Source.kind == "git")
    )
    found = [(uri, owner, removed) for uri, owner, removed in rows]
    own = {uri for uri, owner, _ in found if owner == tenant.id and uri}
    others = {uri for uri, owner, removed in found if owner != tenant.id and removed is None}
    names = (f"{hashlib.sha256(uri.encode()).hexdigest()[:32]}.git" for uri in own - others)
    return [mirror for name in sorted(names) if (mirror := mirrors(settings) / name).is_dir()]
