"""`published_index`: the registry decides; this only asks it."""

from collections.abc import Iterator

import dagster as dg

from canaries.asset_checks import check_spec
from pipelines.capture.health import quarantine
from pipelines.freshness import freshness
from pipelines.ingestion.ingestion import Ingestion
from pipelines.orchestration.capture_asset import GROUP, OWNERS, quarantine_metadata
from pipelines.orchestration.partitions import tenant_partitions
from pipelines.orchestration.resources import IngestionResource
from registry import alerts, generations, runs
from registry.errors import PublicationRefused


@dg.asset(
    deps=["candidate_index"],
    partitions_def=tenant_partitions,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"qdrant"},
    description="The generation that searches of this tenant read.",
)
def published_index(
    context: dg.AssetExecutionContext, ingestion: dg.ResourceParam[IngestionResource]
) -> dg.MaterializeResult[None]:
    """Publish the tenant's newest candidate if the registry allows it."""
    parts, tenant_id = ingestion.get(), context.partition_key
    try:
        candidate = parts.candidate(tenant_id)
        if candidate is None and _only_judged_again(parts, context.run.run_id):
            return _live(parts, tenant_id, replaced=0, retired=0)
        if candidate is None:
            raise dg.Failure(
                f"tenant {tenant_id} has no candidate to publish: materialise from captured_changes on",
                allow_retries=False,
            )
        try:
            published = parts.publish(tenant_id, candidate.number)
        except PublicationRefused as error:
            raise dg.Failure(str(error), metadata={"reason": error.reason}, allow_retries=False) from error
    finally:
        parts.release(tenant_id, context.run.run_id)
    return _live(parts, tenant_id, replaced=published.replaced or 0, retired=len(published.retired))


def _only_judged_again(parts: Ingestion, run: str) -> bool:
    with parts.registry.read() as session:
        outcome = runs.outcome(session, run)
    return outcome is not None and outcome["status"] == "unchanged"


def _live(parts: Ingestion, tenant_id: str, *, replaced: int, retired: int) -> dg.MaterializeResult[None]:
    with parts.registry.read() as session:
        live = generations.live(session, tenant_id)
        assert live is not None
        positions = generations.positions(session, tenant_id, live.number)
        quarantined = quarantine(session, tenant_id)
    return dg.MaterializeResult(
        metadata={
            "generation": live.number,
            "replaced": replaced,
            "retired": retired,
            "documents": live.documents,
            "quarantined": live.quarantined,
            "chunks": live.chunks,
            **{f"position/{source}": position for source, position in positions.items()},
            **quarantine_metadata(quarantined),
        }
    )


@dg.multi_asset_check(
    specs=[
        check_spec(
            "fresh",
            "published_index",
            tenant_partitions,
            "The oldest unpublished commit is younger than the contract allows, whatever the reason.",
        )
    ]
)
def fresh(
    context: dg.AssetCheckExecutionContext, ingestion: dg.ResourceParam[IngestionResource]
) -> Iterator[dg.AssetCheckResult]:
    """Red when something captured has waited too long to be published."""
    yield freshness_result(ingestion.get(), context.partition_key)


def freshness_result(parts: Ingestion, tenant_id: str) -> dg.AssetCheckResult:
    """How long the oldest unpublished commit of a tenant has waited; an alert where that is too long."""
    with parts.registry.write() as session:
        found = freshness(session, tenant_id, parts.clock())
        if not found.fresh:
            details = {"position": found.position}
            alerts.raise_alert(session, tenant_id, "not_fresh", found.summary, details, parts.clock())
    return dg.AssetCheckResult(
        check_name="fresh",
        asset_key="published_index",
        passed=found.fresh,
        severity=dg.AssetCheckSeverity.ERROR,
        description=found.summary,
        metadata={"oldest_unpublished_seconds": found.age_seconds, "allowed_seconds": found.allowed_seconds},
    )
