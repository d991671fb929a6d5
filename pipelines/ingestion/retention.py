"""Retention: indices that nothing serves any more go, once no reader of any process holds them."""

from __future__ import annotations

from sqlalchemy.orm import Session

from registry import generations, tenants
from registry.clock import Clock
from registry.crash_points import crash_point
from registry.database import Registry
from registry.locking import lock_tenant
from retrieval.index.store import GenerationRef, GenerationStore

UNSERVED = ("retired", "rejected", "abandoned")


def remove_unserved(registry: Registry, store: GenerationStore, tenant_id: str, clock: Clock) -> list[int]:
    """Remove the indices of retired, rejected and abandoned generations; one in use is left for next time.

    The newest rejected one is kept while it is the newest: under another contract it is judged again
    without being built again. What a run that was fenced off sealed after its removal goes as well, and so
    does what the registry never heard of (it was put back to an older state).
    """
    with registry.read() as session:
        wanted = _removable(session, store, tenant_id)
    return [number for number in wanted if _remove(registry, store, tenant_id, number, clock)]


def remove_if_erased(session: Session, store: GenerationStore, tenant_id: str) -> None:
    """Remove what a run wrote of a tenant after an erasure had removed its files: nobody else would look for it."""
    if tenants.is_erased(session, tenant_id):
        store.erase(tenant_id)


def _removable(session: Session, store: GenerationStore, tenant_id: str) -> list[int]:
    known = {generation.number: generation for generation in generations.of_tenant(session, tenant_id)}
    kept = next(iter(known.values()), None)
    keep = {kept.number} if kept is not None and kept.status == "rejected" else set()
    on_disk = set(store.generations(tenant_id))
    unserved = {n for n in on_disk if n not in known or known[n].status in UNSERVED}
    return sorted((unserved | set(generations.removable(session, tenant_id))) - keep)


def _remove(registry: Registry, store: GenerationStore, tenant_id: str, number: int, clock: Clock) -> bool:
    with registry.write() as session:
        # Looked at again where no other run can change it: a rejected one may be judged anew meanwhile.
        lock_tenant(session, tenant_id)
        if number not in _removable(session, store, tenant_id):
            return False
        if not store.remove(GenerationRef(tenant_id, number)):
            return False
        crash_point("retention:removed")
        if number in generations.removable(session, tenant_id):
            generations.record_removal(session, tenant_id, number, clock())
    crash_point("retention:after-commit")
    return True
