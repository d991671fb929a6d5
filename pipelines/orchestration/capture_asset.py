"""`captured_changes`: catch up with every source of a tenant, and say how its sources are."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from canaries.asset_checks import check_spec
from pipelines.capture.capturer import Captured
from pipelines.capture.health import Quarantine, SourceHealth, in_quarantine, quarantine, source_health
from pipelines.ingestion.ingestion import Ingestion
from pipelines.orchestration.partitions import tenant_partitions
from pipelines.orchestration.resources import IngestionResource
from registry import alerts, changelog, generations

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
    yield report(parts, tenant_id, parts.capture(tenant_id))


def report(parts: Ingestion, tenant_id: str, captured: list[Captured]) -> dg.MaterializeResult[None]:
    """What was captured, and how the sources of a tenant are; alerts where something is wrong."""
    with parts.registry.read() as session:
        health = source_health(session, tenant_id, parts.clock())
        held = changelog.held_commits(session, tenant_id)
        quarantined = quarantine(session, tenant_id)
        too_many = in_quarantine(session, tenant_id)
    _alert_unhealthy(parts, tenant_id, health)
    _alert_quarantine(parts, tenant_id, too_many)
    positions = [f"{source.name}@{commit.position}" for commit, source in held]
    return dg.MaterializeResult(
        metadata=_metadata(captured, health) | quarantine_metadata(quarantined),
        check_results=[
            dg.AssetCheckResult(
                check_name="source_healthy",
                passed=all(source.healthy for source in health) and not too_many,
                severity=dg.AssetCheckSeverity.ERROR,
                description=_health_in_words(health, too_many),
                metadata={source.name: source.summary for source in health}
                | {f"quarantined_share/{found.source}": found.share for found in quarantined},
            ),
            dg.AssetCheckResult(
                check_name="deletions_expected",
                passed=not held,
                severity=dg.AssetCheckSeverity.ERROR,
                description=f"deletions of {len(held)} commits wait: `holdfast deletion list`"
                if held
                else None,
                metadata={"held_commits": len(held), "positions": ", ".join(positions[:20])},
            ),
        ],
    )


def _health_in_words(health: list[SourceHealth], too_many: dict[str, float]) -> str:
    """What is wrong and where to look, or that nothing is."""
    wrong = [f"{source.name}: {source.summary}" for source in health if not source.healthy]
    wrong += [_quarantined(source, share) for source, share in too_many.items()]
    return "; ".join(wrong) or "every source was read at its last look"


def _quarantined(source: str, share: float) -> str:
    return f"{share:.0%} of the documents of source {source} are in quarantine: `holdfast deadletter list`"


def _metadata(captured: list[Captured], health: list[SourceHealth]) -> dict[str, Any]:
    numbers: dict[str, Any] = {
        "commits": sum(c.commits for c in captured),
        "upserts": sum(c.upserts for c in captured),
        "deletions": sum(c.deletes for c in captured),
        "unreadable_documents": sum(c.unreadable for c in captured),
        "sources": len(health),
        "sources_failing": sum(not source.healthy for source in health),
    }
    numbers |= {f"failures/{source.name}": int(not source.healthy) for source in health}
    retained = {one.name: one.retained_bytes for one in health if one.retained_bytes is not None}
    return numbers | {f"retained_wal_mb/{name}": held / 2**20 for name, held in retained.items()}


def quarantine_metadata(found: list[Quarantine]) -> dict[str, int]:
    """Dead letters of the live generation by source, as numbers that the UI plots."""
    return {f"quarantined/{each.source}": each.failed for each in found} | {
        f"dropped/{each.source}": each.dropped for each in found
    }


def _alert_quarantine(parts: Ingestion, tenant_id: str, too_many: dict[str, float]) -> None:
    if not too_many:
        return
    with parts.registry.write() as session:
        live = generations.live(session, tenant_id)
        for source, share in too_many.items():
            alerts.raise_alert(
                session,
                tenant_id,
                "too_many_in_quarantine",
                _quarantined(source, share),
                {"source": source, "generation": live.number if live else 0},
                parts.clock(),
            )


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
