"""`holdfast source …`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cli.adding_sources import NewSource, add_source
from cli.assignments import plain_options
from cli.changing_sources import change_source
from cli.formatting import plural, short, status, table
from cli.logs import configure
from cli.opening import mirrors, opened_registry, settings
from cli.options import Json, OptionalTenant, commands
from cli.output import console, note, show, warn
from cli.overview import SourceOverview, source_overview
from cli.removing_sources import remove_source, resume_removal
from pipelines.sources.kinds import KINDS, open_source
from registry import sources, tenants
from registry.clock import utc_now
from registry.database import Registry
from registry.errors import NotFound
from registry.schema import Source, Tenant

app = commands("Where documents live: git repositories, folders, database tables.")
Name = Annotated[str, typer.Argument(metavar="NAME", help="The source's name.", show_default=False)]


@app.callback()
def quietly() -> None:
    configure(settings(), spoken=False)


@app.command()
def add(
    name: Name,
    kind: Annotated[str, typer.Option(metavar="|".join(KINDS), help="What it is.", show_default=False)],
    uri: Annotated[str, typer.Option(help="Where it is: a path or a URL.", show_default=False)],
    tenant: OptionalTenant = None,
    owner: Annotated[
        str, typer.Option(metavar="EMAIL", help="Who answers for it.", show_default="the contract's owner")
    ] = "",
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", metavar="K=V", help="An option of its kind; may be given again."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add a source, once it could be read and what capture needs was installed in it.

    Options of every kind: quiescence, max_staleness (seconds).

    git: branch, path.

    sqlite, postgres: table, key, body, title, url, metadata (columns), format, tenant_column (then it is shared:
    leave --tenant out).

    postgres: slot, publication, max_retained_wal_mb, retained_wal_share; for a body in the rows of another table
    child_table, child_parent, child_order, child_body, child_title, child_references.
    """
    wanted = NewSource(name, tenant, kind, uri, owner, plain_options(option or []))
    with opened_registry() as registry:
        added = add_source(registry, settings(), wanted)
    for warning in added.warnings:
        warn(warning)
    document = {**asdict(added.source), "documents": added.probe.documents, "warnings": added.warnings}

    def render() -> None:
        whose = f"of [bold]{added.source.tenant}[/bold]" if added.source.tenant else "(shared)"
        found = f"{plural(added.probe.documents, 'document')} at {added.probe.position}"
        console().print(f"source [bold]{name}[/bold] {whose} added: {found}, {added.source.consistency}")
        if added.probe.note:
            note(added.probe.note)
        note(f"Next: holdfast ingest --tenant {added.source.tenant or 'TENANT'}")

    show(as_json, document, render)


@app.command("list")
def list_sources(tenant: OptionalTenant = None, as_json: Json = False) -> None:
    """Sources with their state at the last look: all of them, or those that feed one tenant."""
    with opened_registry() as registry, registry.read() as session:
        names = {found.id: found.name for found in tenants.present(session)}
        if tenant is None:
            found = sources.present(session)
        else:
            found = sources.capturable(session, tenants.find(session, tenant).id)
    rows = [source_overview(source, names.get(source.tenant_id or "")) for source in found]

    def render() -> None:
        columns = ("source", "tenant", "kind", "state", "position", "?last look", "?owner", "?~uri")
        console().print(table(columns, [_line(row) for row in rows]) if rows else "no sources yet")
        for row in rows:
            if row.error:
                warn(f"{row.name}: {row.error}")

    show(as_json, [asdict(row) for row in rows], render)


def _line(row: SourceOverview) -> tuple[object, ...]:
    whose = row.tenant or "(shared)"
    return (row.name, whose, row.kind, status(row.state), _place(row), row.checked_at, row.owner, row.uri)


def _place(row: SourceOverview) -> str | None:
    return short(row.position) if row.position else None


@app.command("test")
def probe_source(name: Name, tenant: OptionalTenant = None, as_json: Json = False) -> None:
    """Look at a source now, without capturing: can it be read, how far, how many documents are there."""
    found = settings()
    with opened_registry() as registry:
        source, owner = _find(registry, name, tenant)
    opened = open_source(source.kind, source.uri, source.options, utc_now, mirrors(found))
    probe = opened.probe()
    document = {
        "name": source.name,
        "tenant": owner.name if owner else None,
        "kind": source.kind,
        "healthy": True,
        "position": probe.position,
        "captured_position": source.position,
        "documents": probe.documents,
        "consistency": str(probe.consistency),
        "note": probe.note,
    }

    def render() -> None:
        console().print(
            f"[green]healthy[/green]: {plural(probe.documents, 'document')} at {probe.position}, "
            f"{probe.consistency}; captured up to {source.position or 'nothing yet'}"
        )
        if probe.note:
            note(probe.note)

    show(as_json, document, render)


@app.command("set")
def set_options(
    name: Name,
    option: Annotated[
        list[str], typer.Option("--option", "-o", metavar="K=V", help="A new value; K= takes it away.")
    ],
    tenant: OptionalTenant = None,
    as_json: Json = False,
) -> None:
    """Change a source's options, once it could be read with them; what they mean for documents is captured next.

    postgres: all but slot and publication. Every kind: quiescence, max_staleness.
    """
    with opened_registry() as registry:
        source, owner = _find(registry, name, tenant)
        changed = change_source(registry, settings(), source, plain_options(option))
    document = {
        "name": source.name, "tenant": owner.name if owner else None, "options": changed.options,
        "documents": changed.probe.documents, "position": changed.probe.position,
    }  # fmt: skip

    def render() -> None:
        said = ", ".join(f"{key}={value}" for key, value in sorted(changed.options.items()))
        console().print(f"source [bold]{source.name}[/bold]: ", end="")
        console().print(said, markup=False)
        note(f"{plural(changed.probe.documents, 'document')} at {changed.probe.position}")

    show(as_json, document, render)


@app.command()
def remove(name: Name, tenant: OptionalTenant = None, as_json: Json = False) -> None:
    """Remove a source: its documents are hidden at once and leave with the next generation.

    What capture made at the source (a replication slot and publication, triggers) is dropped there. Where that was
    cut off, remove the source again.
    """
    with opened_registry() as registry:
        try:
            source, owner = _find(registry, name, tenant)
            warnings = remove_source(registry, settings(), source)
        except NotFound:
            with registry.read() as session:
                owner = tenants.find(session, tenant) if tenant else None
            resumed = resume_removal(registry, settings(), name, owner.id if owner else None)
            if resumed is None:
                raise
            source, warnings = resumed
    for warning in warnings:
        warn(warning)
    document = {
        "name": source.name, "tenant": owner.name if owner else None, "removed": True, "warnings": warnings,
    }  # fmt: skip

    def render() -> None:
        console().print(f"source [bold]{source.name}[/bold] removed; its documents are hidden from now on")

    show(as_json, document, render)


def _find(registry: Registry, name: str, tenant: str | None) -> tuple[Source, Tenant | None]:
    with registry.read() as session:
        tenant_id = tenants.find(session, tenant).id if tenant else None
        source = sources.find(session, name, tenant_id)
        return source, tenants.find(session, source.tenant_id) if source.tenant_id else None
