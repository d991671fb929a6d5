"""`holdfast generations`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from cli.formatting import build_progress, short, status, table
from cli.logs import configure
from cli.opening import opened_registry, settings
from cli.options import Json, TenantOption, single
from cli.output import console, note, show
from registry import builds, tenants, verdicts
from registry import generations as stored
from registry.clock import utc_now
from registry.schema import Generation

app = single()
JUDGED = ("live", "retained", "retired", "rejected")


@app.command()
def generations(
    tenant: TenantOption,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that were never judged: candidate, abandoned.")
    ] = False,
    as_json: Json = False,
) -> None:
    """A tenant's generations, newest first: what each was built from and what its checks said."""
    configure(settings(), spoken=False)
    with opened_registry() as registry, registry.read() as session:
        owner = tenants.find(session, tenant)
        found = stored.of_tenant(session, owner.id, () if everything else JUDGED)
        rows = [_as_json(session, generation) for generation in found]
        under_way = builds.under_way(session, utc_now(), owner.id)

    def render() -> None:
        for build in under_way:
            note(f"{build.kind} under way: {build_progress(build)}", "yellow")
        if not rows:
            note(f"Nothing was published yet: holdfast ingest --tenant {owner.name}")
            return
        columns = ("#generation", "status", "published", "#documents", "#chunks", "checks", "?sources")
        console().print(table(columns, [_line(row) for row in rows]))
        if owner.held_at is not None:
            note(f"Ingestion is held: {owner.held_reason}. holdfast resume --tenant {owner.name}", "yellow")

    show(as_json, rows, render)


def _as_json(session: Session, generation: Generation) -> dict[str, Any]:
    from pipelines.ingestion.outcome import check_json

    found = verdicts.of_generation(session, generation.tenant_id, generation.number)
    return {
        "generation": generation.number,
        "status": generation.status,
        "sources": stored.positions(session, generation.tenant_id, generation.number),
        "quiescent": generation.quiescent,
        "documents": generation.documents,
        "quarantined": generation.quarantined,
        "chunks": generation.chunks,
        "model": generation.model_id,
        "base": generation.base,
        "created_at": generation.created_at,
        "published_at": generation.published_at,
        "digest": generation.digest,
        "checks": [check_json(verdict) for verdict in found],
    }


def _line(row: dict[str, Any]) -> tuple[object, ...]:
    documents = f"{row['documents']:,}" + (
        f" (+{row['quarantined']} in quarantine)" if row["quarantined"] else ""
    )
    places = "\n".join(f"{name} @ {short(position)}" for name, position in row["sources"].items())
    return (
        row["generation"],
        status(row["status"]),
        row["published_at"],
        documents,
        row["chunks"],
        _said(row),
        places,
    )


def _said(row: dict[str, Any]) -> str:
    failed = [check["name"] for check in row["checks"] if not check["passed"]]
    return "\n".join(failed) if failed else f"{len(row['checks'])} passed"
