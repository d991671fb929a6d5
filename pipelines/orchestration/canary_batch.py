"""The day's canaries of all tenants in one run: a run a tenant would spend its time on starting processes.

Each tenant's results are recorded on the same assets, partitions and checks that a run of its own records.
"""

from collections.abc import Iterator

import dagster as dg

from canaries.errors import CanaryError
from pipelines.ingestion.ingestion import Ingestion
from pipelines.orchestration.canary_asset import asked_today
from pipelines.orchestration.capture_asset import report
from pipelines.orchestration.partitions import served_tenants, synchronise
from pipelines.orchestration.publish_asset import freshness_result
from pipelines.orchestration.resources import IngestionResource
from registry import alerts
from registry.errors import RegistryError
from retrieval.errors import RetrievalError

Event = dg.AssetMaterialization | dg.AssetCheckEvaluation


@dg.op(out=dg.Out(dg.Nothing), description="Every served tenant's canaries, one tenant after another.")
def ask_every_tenant(
    context: dg.OpExecutionContext, ingestion: dg.ResourceParam[IngestionResource]
) -> Iterator[Event | dg.Output[None]]:
    """Ask all, then fail for those whose check is red or whose asking crashed: nobody's fault stops another's."""
    parts = ingestion.get()
    synchronise(context.instance, parts.registry)
    parts.capturer.catch_up_all()
    red: list[str] = []
    crashed: list[str] = []
    for tenant_id in served_tenants(parts.registry):
        try:
            events = _asked(parts, tenant_id)
        except (CanaryError, RegistryError, RetrievalError) as error:
            context.log.exception("tenant %s could not be asked", tenant_id)
            _alert_crash(parts, tenant_id, str(error))
            crashed.append(tenant_id)
            continue
        if any(_refuses(event) for event in events):
            red.append(tenant_id)
        yield from events
    if red or crashed:
        raise dg.Failure(
            f"canaries: {len(red)} tenants red, {len(crashed)} not asked",
            metadata={"red": ", ".join(red), "crashed": ", ".join(crashed)},
            allow_retries=False,
        )
    yield dg.Output(None)


@dg.job(
    name="daily_canaries_of_all",
    executor_def=dg.in_process_executor,
    description="The day's canaries of every tenant, in one process.",
)
def daily_canaries_of_all() -> None:
    """One op; its events are those of the assets of `daily_canaries`."""
    ask_every_tenant()


def _asked(parts: Ingestion, tenant_id: str) -> list[Event]:
    return [
        *_events("captured_changes", tenant_id, report(parts, tenant_id, [])),
        *_events("canary_results", tenant_id, asked_today(parts, tenant_id)),
        _evaluation("published_index", tenant_id, freshness_result(parts, tenant_id), blocking=False),
    ]


def _events(asset: str, tenant_id: str, result: dg.MaterializeResult[None]) -> Iterator[Event]:
    yield dg.AssetMaterialization(asset, partition=tenant_id, metadata=result.metadata)
    for check in result.check_results or ():
        yield _evaluation(asset, tenant_id, check, blocking=asset == "canary_results")


def _evaluation(
    asset: str, tenant_id: str, result: dg.AssetCheckResult, *, blocking: bool
) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(asset),
        check_name=str(result.check_name),
        passed=result.passed,
        metadata=result.metadata,
        severity=result.severity,
        description=result.description,
        blocking=blocking,
        partition=tenant_id,
    )


def _refuses(event: Event) -> bool:
    return (
        isinstance(event, dg.AssetCheckEvaluation)
        and bool(event.blocking)
        and not event.passed
        and event.severity == dg.AssetCheckSeverity.ERROR
    )


def _alert_crash(parts: Ingestion, tenant_id: str, why: str) -> None:
    now = parts.clock()
    with parts.registry.write() as session:
        text = f"the day's canaries could not be asked: {why}"
        alerts.raise_alert(session, tenant_id, "canary_crashed", text, {"day": now.date().isoformat()}, now)
