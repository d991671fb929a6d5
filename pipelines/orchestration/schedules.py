"""Schedules: one run request a tenant. A plain schedule on a partitioned job would ask for one without a tenant."""

from collections.abc import Iterator

import dagster as dg

from pipelines.orchestration.asking import run_requests
from pipelines.orchestration.canary_batch import daily_canaries_of_all
from pipelines.orchestration.jobs import daily_canaries, daily_owners, ingest
from pipelines.orchestration.partitions import served_tenants, synchronise
from pipelines.orchestration.resources import IngestionResource

# A run costs seconds before it asks anything: beyond this many tenants they share one.
RUNS_A_DAY = 20
AT_SIX = "0 6 * * *"


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
    yield from run_requests(parts)


# The two canary schedules look at the same moment and one of them asks for runs: a schedule has one job.
@dg.schedule(
    job=daily_canaries,
    cron_schedule=AT_SIX,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description=f"Daily at six: every active tenant's canaries, a run each up to {RUNS_A_DAY} tenants.",
)
def daily_canaries_schedule(
    context: dg.ScheduleEvaluationContext, ingestion: dg.ResourceParam[IngestionResource]
) -> Iterator[dg.RunRequest]:
    """A run for each tenant, where they are few enough for a process each."""
    served, day = _to_ask(context, ingestion)
    if len(served) <= RUNS_A_DAY:
        for tenant_id in served:
            yield dg.RunRequest(run_key=f"canaries:{tenant_id}:{day}", partition_key=tenant_id)


@dg.schedule(
    job=daily_canaries_of_all,
    cron_schedule=AT_SIX,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description=f"Daily at six where there are more than {RUNS_A_DAY} tenants: all canaries in one run.",
)
def daily_canaries_of_all_schedule(
    context: dg.ScheduleEvaluationContext, ingestion: dg.ResourceParam[IngestionResource]
) -> Iterator[dg.RunRequest]:
    """One run for all tenants, where a run for each would take longer to start than to ask."""
    served, day = _to_ask(context, ingestion)
    if len(served) > RUNS_A_DAY:
        yield dg.RunRequest(run_key=f"canaries:all:{day}")


def _to_ask(context: dg.ScheduleEvaluationContext, ingestion: IngestionResource) -> tuple[list[str], str]:
    """The tenants whose canaries are to be asked, each a partition by then, and the day that it is for."""
    parts = ingestion.get()
    synchronise(context.instance, parts.registry)
    return served_tenants(parts.registry), context.scheduled_execution_time.date().isoformat()


# One run for all tenants: this job has no partitions, so a plain schedule is right.
daily_owners_schedule = dg.ScheduleDefinition(
    name="daily_owners_schedule",
    job=daily_owners,
    cron_schedule="30 6 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Daily at half past six: sources that nobody answers for or uses.",
)
