"""Schedules: one run request a tenant. A plain schedule on a partitioned job would ask for one without a tenant."""

from collections.abc import Iterator

import dagster as dg

from pipelines.ingestion.due import due_tenants
from pipelines.orchestration.jobs import daily_canaries, ingest
from pipelines.orchestration.partitions import synchronise
from pipelines.orchestration.resources import IngestionResource
from registry import runs, tenants


@dg.schedule(
    job=ingest,
    cron_schedule="0 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Hourly: tenants with something to apply, also where the sensor is off.",
)
def ingest_schedule(
    context: dg.ScheduleEvaluationContext, ingestion: dg.ResourceParam[IngestionResource]
) -> Iterator[dg.RunRequest]:
    """A run for each tenant that has something to apply."""
    parts = ingestion.get()
    synchronise(context.instance, parts.registry)
    for due in due_tenants(parts.registry, parts.configuration, parts.clock):
        with parts.registry.write() as session:
            key = runs.next_run_key(session, due.tenant_id, due.identity, parts.clock())
        if key is not None:
            yield dg.RunRequest(run_key=key, partition_key=due.tenant_id)


@dg.schedule(
    job=daily_canaries,
    cron_schedule="0 6 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Daily at six: every active tenant's canaries.",
)
def daily_canaries_schedule(
    context: dg.ScheduleEvaluationContext, ingestion: dg.ResourceParam[IngestionResource]
) -> Iterator[dg.RunRequest]:
    """A run for each tenant that has a live generation."""
    parts = ingestion.get()
    synchronise(context.instance, parts.registry)
    day = context.scheduled_execution_time.date().isoformat()
    with parts.registry.read() as session:
        served = [tenant.id for tenant in tenants.active(session) if tenant.live_generation is not None]
    for tenant_id in served:
        yield dg.RunRequest(run_key=f"canaries:{tenant_id}:{day}", partition_key=tenant_id)
