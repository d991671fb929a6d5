"""`holdfast tenant …`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cli.erasure import Erased, erase_tenant, resume_erasure
from cli.formatting import facts, plural, short, size, status, table
from cli.logs import configure
from cli.opening import opened_registry, settings
from cli.options import Json, TenantName, commands
from cli.output import console, note, show, side_console
from cli.overview import TenantOverview, overview
from cli.partitions import synchronise_partitions
from registry import tenants
from registry.clock import utc_now
from registry.contract import Contract
from registry.database import Registry
from registry.errors import NotFound

app = commands("Tenants: each has its own documents, index, keys and contract.")


@app.callback()
def quietly() -> None:
    configure(settings(), spoken=False)


@app.command()
def create(
    name: TenantName,
    owner: Annotated[
        str, typer.Option(metavar="EMAIL", help="Who answers for this tenant.", show_default=False)
    ] = "",
    as_json: Json = False,
) -> None:
    """Make a tenant with the default contract. Rows of shared sources that waited for it become its own."""
    contract = Contract().changed({"owner": owner}) if owner else None
    with opened_registry() as registry:
        with registry.write() as session:
            made = tenants.create(session, name, utc_now(), contract)
        synchronise_partitions(settings(), registry)
    document = {
        "tenant": made.name,
        "id": made.id,
        "status": made.status,
        "created_at": made.created_at,
        "owner": owner,
    }

    def render() -> None:
        console().print(f"tenant [bold]{made.name}[/bold] created, id {made.id}")
        note(
            f"Next: holdfast source add NAME --tenant {made.name} --kind folder|git|sqlite|postgres --uri URI"
        )

    show(as_json, document, render)


@app.command("list")
def list_tenants(as_json: Json = False) -> None:
    """All tenants that were not erased."""
    with opened_registry() as registry, registry.read() as session:
        found = [overview(session, tenant, settings(), utc_now()) for tenant in tenants.present(session)]

    def render() -> None:
        if not found:
            note("There is no tenant yet: holdfast tenant create NAME")
            return
        columns = ("tenant", "status", "#live", "#documents", "?#chunks", "?#sources", "?owner", "?id")
        console().print(table(columns, [_line(tenant) for tenant in found]))

    show(as_json, [asdict(tenant) for tenant in found], render)


def _line(tenant: TenantOverview) -> tuple[object, ...]:
    state = status("held" if tenant.held else tenant.status)
    counts = (tenant.documents, tenant.chunks, len(tenant.sources))
    return (tenant.tenant, state, tenant.live_generation, *counts, tenant.owner, tenant.id)


@app.command("show")
def show_tenant(name: TenantName, as_json: Json = False) -> None:
    """Everything about one tenant: what is live, how fresh, from which sources."""
    with opened_registry() as registry, registry.read() as session:
        found = overview(session, tenants.find(session, name), settings(), utc_now())

    def render() -> None:
        console().print(facts(_facts(found)))
        console().print()
        columns = ("source", "kind", "state", "position", "?owner")
        rows = [(s.name, s.kind, status(s.state), short(s.position or ""), s.owner) for s in found.sources]
        console().print(table(columns, rows) if rows else "no sources yet")

    show(as_json, asdict(found), render)


def _facts(found: TenantOverview) -> list[tuple[str, object]]:
    counts = f"{plural(found.documents, 'document')}, {plural(found.chunks, 'chunk')}"
    live = f"generation {found.live_generation}, {counts}"
    return [
        ("tenant", f"{found.tenant} ({found.id})"),
        ("status", status(found.status)),
        ("live", live if found.live_generation else "nothing published yet"),
        ("quarantined", found.quarantined),
        ("hidden since", found.hidden_since),
        ("published", found.published_at),
        ("freshness", found.freshness),
        ("ingestion held", found.held_reason or "no"),
        ("deletions held", found.held_deletions),
        ("contract", f"version {found.contract_version}, owner {found.owner or 'none'}"),
        ("keys, canaries", f"{found.keys} valid, {found.canaries}"),
        ("last query", found.last_query_at),
        ("index on disk", size(found.index_bytes)),
    ]


@app.command()
def suspend(
    name: TenantName,
    resume: Annotated[bool, typer.Option("--resume", help="Put the tenant back into service.")] = False,
    as_json: Json = False,
) -> None:
    """Stop a tenant: its keys are refused and nothing is ingested, until `--resume`."""
    with opened_registry() as registry:
        with registry.write() as session:
            tenant = tenants.find(session, name)
            tenants.suspend(session, tenant, not resume)
        synchronise_partitions(settings(), registry)
    state = "active" if resume else "suspended"
    document = {"tenant": tenant.name, "id": tenant.id, "status": state}
    show(as_json, document, lambda: console().print(f"tenant [bold]{tenant.name}[/bold] is {state}"))


@app.command()
def erase(
    name: TenantName,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the name to be typed again.")] = False,
    as_json: Json = False,
) -> None:
    """Remove everything that a tenant ever brought: documents, vectors, indices, keys. Cannot be undone.

    An erasure that was cut off is finished by asking for it again.
    """
    with opened_registry() as registry:
        erased = _erased(registry, name, yes)

    def render() -> None:
        freed = f"{plural(erased.generations, 'generation')}, {size(erased.bytes)}"
        console().print(f"tenant [bold]{erased.tenant}[/bold] erased ({freed}); its id is never used again")

    show(as_json, asdict(erased), render)


def _erased(registry: Registry, name: str, yes: bool) -> Erased:
    try:
        with registry.read() as session:
            tenant = tenants.find(session, name)
    except NotFound:
        finished = resume_erasure(registry, settings(), name)
        if finished is None:
            raise
        return finished
    if not yes:
        _confirm(tenant.name)
    return erase_tenant(registry, settings(), tenant)


def _confirm(name: str) -> None:
    side_console().print(
        f"This removes every document, vector, index and key of [bold]{name}[/bold] and cannot be undone."
    )
    typed = typer.prompt("Type the tenant's name to go on", err=True)
    if typed.strip() != name:
        raise typer.Abort
