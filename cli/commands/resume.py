"""`holdfast resume`."""

from __future__ import annotations

from cli.logs import configure
from cli.opening import opened_registry, settings
from cli.options import Json, TenantOption, single
from cli.output import console, show
from registry import publication, tenants
from registry.clock import utc_now
from registry.crash_points import crash_point

app = single()


@app.command()
def resume(tenant: TenantOption, as_json: Json = False) -> None:
    """Release the hold that a rollback left: ingestion goes on from the generation that is live."""
    configure(settings(), spoken=False)
    with opened_registry() as registry, registry.write() as session:
        owner = tenants.find(session, tenant)
        released = publication.resume(session, owner.id, utc_now())
    crash_point("resume:after-commit")
    document = {
        "tenant": owner.name,
        "generation": owner.live_generation,
        "held": False,
        "released": released,
    }
    said = "ingestion goes on" if released else "ingestion was not held"
    show(as_json, document, lambda: console().print(f"[bold]{owner.name}[/bold]: {said}"))
