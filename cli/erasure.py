"""Erasing a tenant: its calls of models, its rows in one transaction, then its indices and mirrors, its partition.

Once the rows are gone nothing is served, and nothing remembers what else there was. Files that a killed erasure
left are therefore found from the other side: folders of erased tenants, mirrors that no source reads.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import or_, select

from cli.opening import mirrors
from cli.partitions import synchronise_partitions
from cli.removing_sources import remove_traces
from gateway_client.errors import StoreUnavailable
from gateway_client.operating import operator
from gateway_client.settings import gateway_settings
from gateway_client.store.opening import is_there
from pipelines.source_costs import index_bytes
from pipelines.sources.git.mirror import Mirror
from registry import tenants
from registry.crash_points import crash_point
from registry.database import Registry
from registry.schema import Source, Tenant
from registry.settings import Settings
from retrieval.index.edge.layout import Layout
from retrieval.opening import open_store

log = logging.getLogger("holdfast.erasure")


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure removed. `still_open`: generations that a running process still had open."""

    tenant: str
    id: str
    status: str
    generations: int
    bytes: int
    still_open: int


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Files that an erasure should have removed: tenants by id, mirrors by folder."""

    tenants: tuple[str, ...]
    mirrors: tuple[Path, ...]

    def __bool__(self) -> bool:
        return bool(self.tenants or self.mirrors)


def erase_tenant(registry: Registry, settings: Settings, tenant: Tenant) -> Erased:
    """Erase a tenant. Once the registry has committed nothing of it is served; the files follow."""
    size = index_bytes(settings, tenant.id)
    _forget_calls(tenant.name)
    crash_point("erase:calls-forgotten")
    for left in remove_traces(registry, settings, tenant.id):
        log.warning("%s", left)
    with registry.write() as session:
        tenants.erase(session, tenants.find(session, tenant.id))
    crash_point("erase:after-commit")
    count, still_open = _remove_index(settings, tenant.id)
    crash_point("erase:index-removed")
    finish_erasures(registry, settings)
    crash_point("erase:mirrors-removed")
    synchronise_partitions(settings, registry)
    return Erased(tenant.name, tenant.id, "erased", count, size, still_open)


def _forget_calls(tenant: str) -> None:
    """Before all else: a gateway's store that cannot be reached stops the erasure while it can be asked for again.

    A tenant that is given the name later starts with nothing of this one. Raises StoreUnavailable.
    """
    if is_there(gateway_settings().store):
        try:
            with operator() as op:
                op.forget_tenant(tenant)
        except StoreUnavailable as error:
            raise StoreUnavailable(f"tenant {tenant} was not erased, and serves on: {error}") from error


def resume_erasure(registry: Registry, settings: Settings, name_or_id: str) -> Erased | None:
    """Finish the erasure of a tenant that was cut off after its rows had gone; None where nothing was left."""
    with registry.read() as session:
        named = select(Tenant).where(or_(Tenant.name == name_or_id, Tenant.id == name_or_id))
        erased = session.scalar(named.where(Tenant.status == "erased").order_by(Tenant.created_at.desc()))
    if erased is None:
        return None
    size, numbers = index_bytes(settings, erased.id), Layout(settings.index).numbers(erased.id)
    if not finish_erasures(registry, settings):
        return None
    synchronise_partitions(settings, registry)
    return Erased(erased.name, erased.id, "erased", len(numbers), size, 0)


def leftovers(registry: Registry, settings: Settings) -> Leftovers:
    """What killed erasures left on disk."""
    # Folders first: a mirror or an index that is made after this look is not in it, so its row need not be seen.
    folders = _folders(settings.index)
    caches = [path for path in _folders(mirrors(settings)) if path.name.endswith(".git")]
    with registry.read() as session:
        erased = set(session.scalars(select(Tenant.id).where(Tenant.status == "erased")))
        read = session.scalars(select(Source.uri).where(Source.kind == "git", Source.removed_at.is_(None)))
        wanted = {f"{hashlib.sha256(uri.encode()).hexdigest()[:32]}.git" for uri in read}
    return Leftovers(
        tuple(path.name for path in folders if path.name in erased),
        tuple(path for path in caches if path.name not in wanted),
    )


def finish_erasures(registry: Registry, settings: Settings) -> Leftovers:
    """Remove what killed erasures left on disk, and give what that was."""
    found = leftovers(registry, settings)
    for tenant_id in found.tenants:
        _remove_index(settings, tenant_id)
    for mirror in found.mirrors:
        Mirror(mirror, "").remove()
    return found


def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []


def _remove_index(settings: Settings, tenant_id: str) -> tuple[int, int]:
    store = open_store(settings)
    try:
        return len(store.generations(tenant_id)), store.erase(tenant_id)
    finally:
        store.close()
