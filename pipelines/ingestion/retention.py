"""Retention: indices that nothing serves any more go, once no reader of any process holds them."""

from __future__ import annotations

from registry import generations
from registry.clock import Clock
from registry.crash_points import crash_point
from registry.database import Registry
from retrieval.index.store import GenerationRef, GenerationStore


def remove_unserved(registry: Registry, store: GenerationStore, tenant_id: str, clock: Clock) -> list[int]:
    """Remove the indices of retired, rejected and abandoned generations; one in use is left for next time.

    The newest rejected one is kept while it is the newest: under another contract it is judged again
    without being built again.
    """
    with registry.read() as session:
        removable = generations.removable(session, tenant_id)
        newest = generations.of_tenant(session, tenant_id)[:1]
    keep = {generation.number for generation in newest if generation.status == "rejected"}
    removed = []
    for number in removable:
        if number in keep or not store.remove(GenerationRef(tenant_id, number)):
            continue
        crash_point("retention:removed")
        with registry.write() as session:
            generations.record_removal(session, tenant_id, number, clock())
        removed.append(number)
    return removed
