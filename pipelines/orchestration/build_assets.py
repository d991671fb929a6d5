"""`documents`, `chunks`, `embeddings`, `candidate_index`: one build, shown as its four products."""

import time
from collections.abc import Iterator
from typing import Any

import dagster as dg

from pipelines.ingestion.outcome import Outcome
from pipelines.orchestration.capture_asset import GROUP, OWNERS, captured_changes
from pipelines.orchestration.log_progress import LoggedProgress, Observe
from pipelines.orchestration.partitions import tenant_partitions
from pipelines.orchestration.progress import shown
from pipelines.orchestration.resources import IngestionResource, released_unless_published
from registry import runs

# A run with this tag (value "true") builds everything from nothing, also where nothing changed.
REINDEX_TAG = "holdfast/reindex"
ASSET_OF_STAGE = {"documents": "documents", "embeddings": "embeddings", "index": "candidate_index"}


def _spec(name: str, description: str, deps: list[Any], kinds: set[str]) -> dg.AssetSpec:
    return dg.AssetSpec(
        name,
        deps=deps,
        description=description,
        group_name=GROUP,
        owners=OWNERS,
        kinds=kinds,
        skippable=True,
        partitions_def=tenant_partitions,
    )


@dg.multi_asset(
    specs=[
        _spec("documents", "The tenant's documents at the pins.", [captured_changes], {"python"}),
        _spec("chunks", "Their chunks; only changed documents are parsed.", ["documents"], {"python"}),
        _spec("embeddings", "A vector per chunk text; only new texts are embedded.", ["chunks"], {"python"}),
        _spec(
            "candidate_index", "The index built beside the live one.", ["embeddings"], {"python", "qdrant"}
        ),
    ],
    partitions_def=tenant_partitions,
    can_subset=False,
)
def build(
    context: dg.AssetExecutionContext, ingestion: dg.ResourceParam[IngestionResource]
) -> Iterator[dg.MaterializeResult[None]]:
    """Build a candidate. Where there is nothing to build, every product is skipped and so is what follows."""
    parts, tenant_id, run = ingestion.get(), context.partition_key, context.run.run_id
    started = time.perf_counter()
    with released_unless_published(parts, tenant_id, run) as release:
        progress = shown(LoggedProgress(context.log.info, _observer(context)))
        anew = context.run.tags.get(REINDEX_TAG) == "true"
        outcome = parts.build(tenant_id, run, progress, anew=anew)
        outcome.seconds = time.perf_counter() - started
        with parts.registry.write() as session:
            runs.record_outcome(session, run, tenant_id, outcome.as_json(), parts.clock())
        # A changed contract, or other canaries, judge again what is live; nothing is built for that.
        judged_again = outcome.status == "unchanged" and parts.unjudged(tenant_id) is not None
        if outcome.status != "published" and not judged_again:
            release()
    if outcome.status != "published" and not judged_again:
        _explain(context, outcome)
        return
    for name, metadata in _metadata(outcome).items():
        yield dg.MaterializeResult(asset_key=name, metadata={**metadata, "seconds": outcome.seconds})


def _observer(context: dg.AssetExecutionContext) -> Observe:
    """Shows a long stage's numbers on its asset while the run goes on."""

    def observe(stage: str, numbers: dict[str, float]) -> None:
        asset = ASSET_OF_STAGE.get(stage, "candidate_index")
        context.log_event(
            dg.AssetObservation(asset_key=asset, partition=context.partition_key, metadata={**numbers})
        )

    return observe


def _explain(context: dg.AssetExecutionContext, outcome: Outcome) -> None:
    text = f"tenant {outcome.tenant}: {outcome.status}" + (f" ({outcome.reason})" if outcome.reason else "")
    if outcome.status == "rejected":
        raise dg.Failure(text, metadata={"generation": outcome.generation or 0}, allow_retries=False)
    context.log.info(text)


def _metadata(outcome: Outcome) -> dict[str, dict[str, Any]]:
    documents, chunks, work = outcome.documents, outcome.chunks, outcome.work
    return {
        "documents": {
            "documents": documents.live,
            "added": documents.added,
            "changed": documents.changed,
            "deleted": documents.deleted,
            "quarantined": documents.quarantined,
            "stale": documents.stale,
            "quiescent": int(outcome.quiescent),
            **{f"failures/{source}": count for source, count in work.failures.items()},
            **{f"position/{source}": position for source, position in outcome.sources.items()},
        },
        "chunks": {
            "chunks": chunks.live,
            "added": chunks.added,
            "removed": chunks.removed,
            "unchanged": chunks.unchanged,
            "documents_parsed": work.parsed,
            "documents_remembered": work.remembered,
        },
        "embeddings": {
            "embedded": outcome.embedded,
            "cache_hits": work.cache_hits,
            "embedding_seconds": work.embedding_seconds,
        },
        "candidate_index": {
            "generation": outcome.generation or 0,
            "chunks": chunks.live,
            "points_written": work.written,
            "reindexed": int(bool(work.reindexed)),
        },
    }
