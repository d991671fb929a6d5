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
    selection=dg.AssetSelection.assets("captured_changes", "canary_results")
    | dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey("published_index"), "fresh")),
    executor_def=dg.in_process_executor,
    description="The day's canaries of a tenant, how its sources are, and whether it is fresh.",
)

daily_owners = dg.define_asset_job(
    "daily_owners",
    selection=dg.AssetSelection.assets("source_owners"),
    executor_def=dg.in_process_executor,
    description="Which sources nobody answers for or uses, and what each costs.",
)
