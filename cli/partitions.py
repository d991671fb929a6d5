"""Keeping Dagster's partitions those of the tenants. Importing this imports nothing; calling it does."""

from __future__ import annotations

from registry.database import Registry
from registry.settings import Settings


def synchronise_partitions(settings: Settings, registry: Registry) -> None:
    """Make Dagster's tenant partitions those of the active tenants. Takes a second: it imports Dagster."""
    from cli.home import prepare_dagster_home

    prepare_dagster_home(settings)
    import dagster

    from pipelines.orchestration.partitions import synchronise

    with dagster.DagsterInstance.get() as instance:
        synchronise(instance, registry)
