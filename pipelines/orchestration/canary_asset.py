"""`canary_results`: the day's canaries, asked of the live generation."""

from collections.abc import Iterator

import dagster as dg

from canaries.asset_checks import check_spec, daily_metadata, live_recall_result
from canaries.daily import ask_today
from pipelines.ingestion.ingestion import Ingestion
from pipelines.orchestration.capture_asset import OWNERS
from pipelines.orchestration.partitions import tenant_partitions
from pipelines.orchestration.resources import IngestionResource


@dg.asset(
    partitions_def=tenant_partitions,
    deps=["published_index"],
    group_name="canaries",
    owners=OWNERS,
    kinds={"python"},
    description="The day's canaries of a tenant: what they found, and how that compares with the gate.",
    check_specs=[
        check_spec(
            "live_canary_recall",
            "canary_results",
            tenant_partitions,
            "Recall and MRR keep the contract, and no answer was lost without a deletion.",
            blocking=True,
        )
    ],
)
def canary_results(
    context: dg.AssetExecutionContext, ingestion: dg.ResourceParam[IngestionResource]
) -> Iterator[dg.MaterializeResult[None]]:
    """Ask. A crash fails the step and is no result: the check is then not failed but not evaluated."""
    yield asked_today(ingestion.get(), context.partition_key)


def asked_today(parts: Ingestion, tenant_id: str) -> dg.MaterializeResult[None]:
    """Ask a tenant's canaries of the day. Raises CanaryCrashed."""
    result = ask_today(parts.registry, parts.searcher, tenant_id, parts.clock)
    return dg.MaterializeResult(metadata=daily_metadata(result), check_results=[live_recall_result(result)])
