"""`holdfast rollback`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.logs import configure
from cli.opening import opened_registry, settings
from cli.options import Json, TenantOption, single
from cli.output import console, note, show
from registry import publication, tenants
from registry.clock import utc_now
from registry.crash_points import crash_point

app = single()


@app.command()
def rollback(
    tenant: TenantOption,
    to: Annotated[
        int | None, typer.Option(metavar="GENERATION", help="Which one.", show_default="the one before")
    ] = None,
    as_json: Json = False,
) -> None:
    """Serve an older, retained generation from now on, and hold ingestion until `holdfast resume`."""
    configure(settings(), spoken=False)
    with opened_registry() as registry, registry.write() as session:
        owner = tenants.find(session, tenant)
        before = owner.live_generation
        target = publication.roll_back(session, owner.id, utc_now(), to)
        reason = tenants.find(session, owner.id).held_reason
    crash_point("rollback:after-commit")
    document = {"tenant": owner.name, "generation": target, "from": before, "held": True, "reason": reason}

    def render() -> None:
        console().print(f"[bold]{owner.name}[/bold] serves generation {target} now (before: {before})")
        note(f"Ingestion is held, so that nothing undoes this: holdfast resume --tenant {owner.name}")

    show(as_json, document, render)
