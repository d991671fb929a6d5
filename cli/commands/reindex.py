"""`holdfast reindex`."""

from __future__ import annotations

from typing import Any

import typer

from cli.commands.ingest import print_outcome
from cli.failures import REFUSED
from cli.ingesting import ingest as run_ingest
from cli.logs import configure
from cli.opening import opened_registry, settings
from cli.options import Json, TenantOption, single
from cli.output import complain, console, note, show, warn
from cli.progress import shown_progress
from pipelines.ingestion.comparison import same_content
from registry import generations, tenants

app = single()


@app.command()
def reindex(tenant: TenantOption, as_json: Json = False) -> None:
    """Build the whole index anew with the present configuration, beside the one that serves.

    It is checked and published as any other. Nothing that is stored is parsed or embedded again; a changed
    model, parser, chunker or analyzer needs no reindex: the next ingest builds everything anew by itself.
    Where neither documents nor configuration changed, the content must come out the same: exit status 1
    where it did not.
    """
    found = settings()
    configure(found, spoken=False)
    with opened_registry(found) as registry, shown_progress(tenant) as progress:
        with registry.read() as session:
            before = generations.live(session, tenants.find(session, tenant).id)
        ingested = run_ingest(registry, found, tenant, progress, anew=True)
        with registry.read() as session:
            owner = tenants.find(session, tenant)
            built = ingested.outcome["generation"] if ingested.outcome["status"] == "published" else None
            identical = None
            if before is not None and built is not None:
                identical = same_content(session, before, generations.get(session, owner.id, built))
    for source in ingested.unreadable:
        warn(f"source {source}")
    replaced = before.number if before is not None and built is not None else None
    document = {**ingested.outcome, "replaced": replaced, "identical": identical}
    show(as_json, document, lambda: _print(document))
    if not ingested.accepted or identical is False:
        raise typer.Exit(REFUSED)


def _print(document: dict[str, Any]) -> None:
    print_outcome(document)
    if document["identical"]:
        console().print(f"the content is that of generation {document['replaced']}, bit by bit")
    elif document["identical"] is False:
        complain(
            f"the same documents and configuration gave other content than generation {document['replaced']}: "
            "look at the disk and the versions of the libraries"
        )
    elif document["replaced"] is not None:
        note(f"Documents or configuration changed since generation {document['replaced']}.")
