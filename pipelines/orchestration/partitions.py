"""The one dynamic partition set: a partition is a tenant, its key the tenant's id."""

from __future__ import annotations

import dagster as dg

from registry import sources, tenants
from registry.database import Registry

tenant_partitions = dg.DynamicPartitionsDefinition(name="tenant")
NAME = "tenant"


def synchronise(instance: dg.DagsterInstance, registry: Registry) -> list[str]:
    """Make the partitions those of the active tenants; gives the keys that were added."""
    with registry.read() as session:
        wanted = {tenant.id for tenant in tenants.active(session)}
    present = set(instance.get_dynamic_partitions(NAME))
    added = sorted(wanted - present)
    if added:
        instance.add_dynamic_partitions(NAME, added)
    for key in sorted(present - wanted):
        instance.delete_dynamic_partition(NAME, key)
    return added


def served_tenants(registry: Registry) -> list[str]:
    """Active tenants that are served, or should be: one whose first candidate was refused is not fresh."""
    with registry.read() as session:
        return [
            tenant.id
            for tenant in tenants.active(session)
            if tenant.live_generation is not None or sources.of_tenant(session, tenant.id)
        ]
