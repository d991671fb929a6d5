"""`source_owners`: who answers for each source, which ones nobody does, and what those cost.

One asset without partitions: a suspended tenant has no partition, and its sources are the first to be orphaned.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import dagster as dg

from pipelines.ingestion.ingestion import Ingestion
from pipelines.orchestration.capture_asset import OWNERS
from pipelines.orchestration.resources import IngestionResource
from pipelines.ownership import OwnedSource, owned_sources
from pipelines.source_costs import Cost, index_bytes
from registry import alerts

SHARED = "(shared)"


@dg.asset(
    group_name="operations",
    owners=OWNERS,
    kinds={"python"},
    description="Every source with its owner, and what the orphaned ones cost.",
    check_specs=[
        dg.AssetCheckSpec(
            "sources_owned",
            asset="source_owners",
            description="Each source has an owner who is there, a tenant that is served, and somebody who searches.",
        )
    ],
)
def source_owners(
    context: dg.AssetExecutionContext, ingestion: dg.ResourceParam[IngestionResource]
) -> Iterator[dg.MaterializeResult[None]]:
    """List, and tell each orphan's tenant. An orphan is a warning: visible, never green, and it stops nothing."""
    parts = ingestion.get()
    with parts.registry.read() as session:
        found = owned_sources(session, partial(index_bytes, parts.settings), parts.clock())
    orphaned = [source for source in found if source.orphaned]
    _alert(parts, orphaned)
    yield dg.MaterializeResult(
        metadata=_numbers(found, orphaned) | {"orphans": dg.MetadataValue.md(_table(orphaned))},
        check_results=[
            dg.AssetCheckResult(
                check_name="sources_owned",
                passed=not orphaned,
                severity=dg.AssetCheckSeverity.WARN,
                description="; ".join(f"{_name(source)}: {source.why}" for source in orphaned[:20])
                or f"all {len(found)} sources are owned and used",
                metadata={"sources": len(found), "orphaned": len(orphaned)},
            )
        ],
    )


def _numbers(found: list[OwnedSource], orphaned: list[OwnedSource]) -> dict[str, Any]:
    total = Cost()
    for source in orphaned:
        total += source.cost
    return {
        "sources": len(found),
        "owners": len({source.owner for source in found if source.owner}),
        "orphaned": len(orphaned),
        "orphaned_documents": total.documents,
        "orphaned_chunks": total.chunks,
        "orphaned_content_bytes": total.content_bytes,
        "orphaned_index_bytes": total.index_bytes,
        "orphaned_embedded_texts_30d": total.embedded_texts,
        "orphaned_embedding_seconds_30d": total.embedding_seconds,
    }


def _table(orphaned: list[OwnedSource]) -> str:
    head = (
        "| source | owner | why | documents | chunks | content bytes | index bytes | texts embedded (30 d) | seconds |"
        "\n|---|---|---|---:|---:|---:|---:|---:|---:|"
    )
    rows = [
        f"| {_name(source)} | {source.owner or '-'} | {source.why} | {c.documents} | {c.chunks} "
        f"| {c.content_bytes} | {c.index_bytes} | {c.embedded_texts} | {c.embedding_seconds} |"
        for source in orphaned
        for c in (source.cost,)
    ]
    return "\n".join([head, *rows])


def _name(source: OwnedSource) -> str:
    return f"{source.tenant or SHARED}: {source.name}"


def _alert(parts: Ingestion, orphaned: list[OwnedSource]) -> None:
    """Tell once for each reason; a shared source has no tenant whose channel could be told."""
    for source in orphaned:
        if source.tenant_id is not None:
            details = {"source": source.name, "reasons": sorted(source.reasons)}
            text = f"source {source.name} is orphaned ({', '.join(sorted(source.reasons))}): `holdfast owner list`"
            with parts.registry.write() as session:
                alerts.raise_alert(session, source.tenant_id, "source_orphaned", text, details, parts.clock())
