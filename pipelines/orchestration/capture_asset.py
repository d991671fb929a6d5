"""`captured_changes`: catch up with every source of a tenant, and say how its sources are."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from canaries.asset_checks import check_spec
from pipelines.capture.capturer import Captured
from pipelines.capture.health import SourceHealth, in_quarantine, source_health
from pipelines.ingestion.ingestion import Ingestion
from pipelines.orchestration.partitions import tenant_partitions
from pipelines.orchestration.resources import IngestionResource
from registry import alerts, changelog

OWNERS = ["team:holdfast"]
GROUP = "ingestion"


@dg.asset(
    partitions_def=tenant_partitions,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"python", "log"},
    description="Commits of the tenant's sources, appended to the change log up to now.",
    check_specs=[
        check_spec(
            "source_healthy",
            "captured_changes",
            tenant_partitions,
            "Every source could be read, and few of its documents are in quarantine.",
        ),
        check_spec(
            "deletions_expected",
            "captured_changes",
            tenant_partitions,
            "No mass deletion waits for a person.",
        ),
    ],
)
def captured_changes(
    context: dg.AssetExecutionContext, ingestion: dg.ResourceParam[IngestionResource]
) -> Iterator[dg.MaterializeResult[None]]:
    """Capture, then report. A source that cannot be read turns its check red and stops nothing."""
    parts, tenant_id = ingestion.get(), context.partition_key
    captured = parts.capture(tenant_id)
    with parts.registry.read() as session:
        health = source_health(session, tenant_id, parts.clock())
        held = changelog.held_commits(session, tenant_id)
        quarantine = in_quarantine(session, tenant_id)
    _alert_unhealthy(parts, tenant_id, health)
    positions = [f"{source.name}@{commit.position}" for commit, source in held]
    yield dg.MaterializeResult(
        metadata=_metadata(captured, health),
        check_results=[
            dg.AssetCheckResult(
                check_name="source_healthy",
                passed=all(source.healthy for source in health) and not quarantine,
                severity=dg.AssetCheckSeverity.ERROR,
                metadata={source.name: source.summary for source in health}
                | {f"quarantined_share/{name}": share for name, share in quarantine.items()},
            ),
            dg.AssetCheckResult(
                check_name="deletions_expected",
                passed=not held,
                severity=dg.AssetCheckSeverity.ERROR,
                metadata={"held_commits": len(held), "positions": ", ".join(positions[:20])},
            ),
        ],
    )


def _metadata(captured: list[Captured], health: list[SourceHealth]) -> dict[str, Any]:
    numbers: dict[str, Any] = {
        "commits": sum(c.commits for c in captured),
        "upserts": sum(c.upserts for c in captured),
        "deletions": sum(c.deletes for c in captured),
        "unreadable_documents": sum(c.unreadable for c in captured),
        "sources": len(health),
        "sources_failing": sum(not source.healthy for source in health),
    }
    return numbers | {f"failures/{source.name}": int(not source.healthy) for source in health}


def _alert_unhealthy(parts: Ingestion, tenant_id: str, health: list[SourceHealth]) -> None:
    failing = [source for source in health if not source.healthy]
    if not failing:
        return
    with parts.registry.write() as session:
        for source in failing:
            alerts.raise_alert(
                session,
                tenant_id,
                "source_unhealthy",
                f"source {source.name}: {source.summary}",
                {"source": source.name, "since": str(source.failing_since)},
                parts.clock(),
            )
