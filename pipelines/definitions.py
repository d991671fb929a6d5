"""What Dagster loads: assets, checks, jobs, schedules and sensors, by name."""

from __future__ import annotations

import dagster as dg

from canaries.asset_checks import candidate_checks
from pipelines.orchestration.build_assets import build
from pipelines.orchestration.canary_asset import canary_results
from pipelines.orchestration.capture_asset import captured_changes
from pipelines.orchestration.jobs import daily_canaries, ingest
from pipelines.orchestration.partitions import tenant_partitions
from pipelines.orchestration.publish_asset import fresh, published_index
from pipelines.orchestration.resources import IngestionResource
from pipelines.orchestration.schedules import daily_canaries_schedule, ingest_schedule
from pipelines.orchestration.sensors import deliver_alerts, source_changes

definitions = dg.Definitions(
    assets=[captured_changes, build, published_index, canary_results],
    asset_checks=[candidate_checks(tenant_partitions), fresh],
    jobs=[ingest, daily_canaries],
    schedules=[ingest_schedule, daily_canaries_schedule],
    sensors=[source_changes, deliver_alerts],
    resources={"ingestion": IngestionResource()},
)
