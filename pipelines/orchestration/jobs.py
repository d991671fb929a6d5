"""The two jobs. One process a run: starting a process per step costs far more than the steps."""

from __future__ import annotations

import dagster as dg

ingest = dg.define_asset_job(
    "ingest",
    selection=dg.AssetSelection.assets(
        "captured_changes", "documents", "chunks", "embeddings", "candidate_index", "published_index"
    ),
    executor_def=dg.in_process_executor,
    description="From a tenant's sources to a published generation, if every check passes.",
)

daily_canaries = dg.define_asset_job(
    "daily_canaries",
    selection=dg.AssetSelection.assets("canary_results")
    | dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey("published_index"), "fresh")),
    executor_def=dg.in_process_executor,
    description="The day's canaries of a tenant, and whether it is fresh.",
)
