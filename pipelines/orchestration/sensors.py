"""Sensors: what changed asks for a run, and what people must be told is delivered."""

from datetime import UTC, datetime

import dagster as dg

from pipelines.alerts.delivery import deliver_all
from pipelines.orchestration.asking import run_requests
from pipelines.orchestration.jobs import ingest
from pipelines.orchestration.partitions import synchronise
from pipelines.orchestration.resources import IngestionResource
from registry import alerts

RUNS_A_TICK = 25


@dg.sensor(
    job=ingest,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="A run for each tenant whose captured changes have reached a quiet point.",
)
def source_changes(
    context: dg.SensorEvaluationContext, ingestion: dg.ResourceParam[IngestionResource]
) -> dg.SensorResult:
    """Reads the registry only: capturing is the capturer's."""
    parts = ingestion.get()
    synchronise(context.instance, parts.registry)
    return dg.SensorResult(run_requests=run_requests(parts, RUNS_A_TICK))


@dg.sensor(
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Delivers alerts (webhook, log): refused candidates, red checks, failed runs.",
)
def deliver_alerts(
    context: dg.SensorEvaluationContext, ingestion: dg.ResourceParam[IngestionResource]
) -> dg.SkipReason:
    """Notes runs that failed since the last tick, then delivers what waits."""
    parts = ingestion.get()
    now = parts.clock()
    since = datetime.fromtimestamp(float(context.cursor), UTC) if context.cursor else now
    failed = context.instance.get_run_records(
        dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since), limit=100
    )
    for record in failed:
        tenant_id = record.dagster_run.tags.get("dagster/partition", "")
        run = record.dagster_run
        if tenant_id:
            text = f"run {run.run_id} of {run.job_name} for tenant {tenant_id} failed"
            with parts.registry.write() as session:
                alerts.raise_alert(session, tenant_id, "run_failed", text, {"run": run.run_id}, now)
    delivered = deliver_all(parts.registry, parts.clock)
    context.update_cursor(str(now.timestamp()))
    return dg.SkipReason(f"{delivered} alerts delivered")
