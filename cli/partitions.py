"""Keeping Dagster's partitions those of the tenants. Importing this imports nothing; calling it does."""

from __future__ import annotations

from registry.database import Registry
from registry.settings import Settings


def synchronise_partitions(settings: Settings, registry: Registry) -> None:
    """Make Dagster's tenant partitions those of the active tenants. Takes a second: it imports Dagster."""
    from cli.dagster_instance import opened_dagster
    from pipelines.orchestration.partitions import synchronise

    with opened_dagster(settings) as instance:
        synchronise(instance, registry)
