"""The one dynamic partition set: a partition is a tenant, its key the tenant's id."""

from __future__ import annotations

import dagster as dg
from sqlalchemy.exc import IntegrityError

from registry import sources, tenants
from registry.database import Registry

tenant_partitions = dg.DynamicPartitionsDefinition(name="tenant")
NAME = "tenant"


def synchronise(instance: dg.DagsterInstance, registry: Registry) -> list[str]:
    """Make the partitions those of the active tenants; gives the keys that were added."""
    # Partitions first: of a tenant that is made after this look there is none in it that could be taken for a leftover.
    present = set(instance.get_dynamic_partitions(NAME))
    with registry.read() as session:
        wanted = {tenant.id for tenant in tenants.active(session)}
    added = sorted(wanted - present)
    if added:
        _add(instance, added)
    for key in sorted(present - wanted):
        instance.delete_dynamic_partition(NAME, key)
    return added


def _add(instance: dg.DagsterInstance, keys: list[str]) -> None:
    """Add what another process may be adding at the same time: Dagster looks first, and inserts then."""
    try:
        instance.add_dynamic_partitions(NAME, keys)
    except IntegrityError:
        missing = sorted(set(keys) - set(instance.get_dynamic_partitions(NAME)))
        if missing == keys:
            raise
        if missing:
            _add(instance, missing)


def served_tenants(registry: Registry) -> list[str]:
    """Active tenants that are served, or should be: one whose first candidate was refused is not fresh."""
    with registry.read() as session:
        return [
            tenant.id
            for tenant in tenants.active(session)
            if tenant.live_generation is not None or sources.of_tenant(session, tenant.id)
        ]
