"""`holdfast rebuild`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cli.formatting import plural, status, table
from cli.logs import configure
from cli.opening import opened_registry, settings
from cli.options import Json, TenantOption, single
from cli.output import console, note, show
from cli.progress import shown_progress

app = single()


@app.command()
def rebuild(
    tenant: TenantOption,
    generation: Annotated[
        int | None,
        typer.Option(metavar="GENERATION", help="Only this one.", show_default="live and retained ones"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a damaged index again from the stored chunks and vectors. Nothing is parsed or embedded.

    An index whose files match their digests is left alone. What is rebuilt must have the content digest that
    was recorded when it was published; a running API serves it again within seconds.
    """
    found = settings()
    configure(found, spoken=False)
    with opened_registry(found) as registry, shown_progress(tenant) as progress:
        from pipelines.ingestion.rebuild import rebuild as rebuild_damaged
        from registry import tenants
        from registry.clock import utc_now
        from retrieval.opening import open_store

        store = open_store(found)
        try:
            with registry.read() as session:
                owner = tenants.find(session, tenant)
            done = rebuild_damaged(
                registry, store, owner.id, found.lease_seconds, utc_now, generation, progress
            )
        finally:
            store.close()

    def render() -> None:
        if not done:
            note(f"Nothing was published yet: holdfast ingest --tenant {owner.name}")
            return
        rows = [(one.generation, status(one.status), one.chunks, one.digest[:12], one.fault) for one in done]
        console().print(table(("#generation", "status", "#chunks", "?digest", "~what was wrong"), rows))
        made = sum(one.status == "rebuilt" for one in done)
        note(f"{plural(made, 'generation')} rebuilt" if made else "every index is whole")

    show(as_json, {"tenant": owner.name, "generations": [asdict(one) for one in done]}, render)
