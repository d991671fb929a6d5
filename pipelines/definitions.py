"""What Dagster loads: assets, checks, jobs, schedules and sensors, by name."""

from __future__ import annotations

import dagster as dg

from canaries.asset_checks import candidate_checks
from pipelines.orchestration.build_assets import build
from pipelines.orchestration.canary_asset import canary_results
from pipelines.orchestration.canary_batch import daily_canaries_of_all
from pipelines.orchestration.capture_asset import captured_changes
from pipelines.orchestration.jobs import daily_canaries, daily_owners, ingest
from pipelines.orchestration.owners_asset import source_owners
from pipelines.orchestration.partitions import tenant_partitions
from pipelines.orchestration.publish_asset import fresh, published_index
from pipelines.orchestration.resources import IngestionResource
from pipelines.orchestration.schedules import (
    daily_canaries_of_all_schedule,
    daily_canaries_schedule,
    daily_owners_schedule,
    ingest_schedule,
)
from pipelines.orchestration.sensors import deliver_alerts, source_changes

definitions = dg.Definitions(
    assets=[captured_changes, build, published_index, canary_results, source_owners],
    asset_checks=[candidate_checks(tenant_partitions), fresh],
    jobs=[ingest, daily_canaries, daily_canaries_of_all, daily_owners],
    schedules=[
        ingest_schedule,
        daily_canaries_schedule,
        daily_canaries_of_all_schedule,
        daily_owners_schedule,
    ],
    sensors=[source_changes, deliver_alerts],
    resources={"ingestion": IngestionResource()},
)
