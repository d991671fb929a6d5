"""`holdfast owner …`."""

from __future__ import annotations

import getpass
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Annotated, Any

import typer

from cli.formatting import plural, size, table
from cli.logs import configure
from cli.opening import opened_registry, settings
from cli.options import Json, OptionalTenant, commands
from cli.output import console, note, show
from pipelines.ownership import OwnedSource, owned_sources
from pipelines.source_costs import Cost, index_bytes
from registry import owners, sources, tenants
from registry.clock import utc_now
from registry.schema import SuspendedOwner

app = commands("Who answers for sources. What nobody answers for, or nobody uses, is orphaned.")
Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The owner's address.", show_default=False)]


@app.callback()
def quietly() -> None:
    configure(settings(), spoken=False)


@app.command("list")
def list_owners(
    orphaned: Annotated[bool, typer.Option("--orphaned", help="Only orphaned sources.")] = False,
    as_json: Json = False,
) -> None:
    """Owners with their sources and what those cost; sources that are orphaned, and why."""
    found, now = settings(), utc_now()
    with opened_registry(found) as registry, registry.read() as session:
        owned = owned_sources(session, partial(index_bytes, found), now)
        gone = owners.suspended(session)
    shown = [source for source in owned if source.orphaned or not orphaned]

    def render() -> None:
        if not shown:
            console().print("no source is orphaned" if orphaned else "no sources yet")
            return
        columns = ("owner", "source", "~orphaned", "#documents", "?#index", "?#content", "?#embedded (30 d)")
        by_owner = sorted(shown, key=lambda source: (source.owner, source.tenant or "", source.name))
        console().print(table(columns, [_line(source) for source in by_owner]))

    show(as_json, _as_json(shown, gone, everybody=not orphaned), render)


def _line(source: OwnedSource) -> tuple[object, ...]:
    cost = source.cost
    return (
        source.owner or None, f"{source.tenant or '(shared)'}: {source.name}",
        source.why or None, cost.documents, size(cost.index_bytes), size(cost.content_bytes),
        f"{cost.embedded_texts:,} in {cost.embedding_seconds:.0f} s",
    )  # fmt: skip


def _state(owner: str, gone: dict[str, SuspendedOwner]) -> str:
    if not owner:
        return "unset"
    return "suspended" if owners.normal(owner) in gone else "active"


def _as_json(
    shown: Iterable[OwnedSource], gone: dict[str, SuspendedOwner], *, everybody: bool
) -> list[dict[str, Any]]:
    by_owner: dict[str, list[OwnedSource]] = {email: [] for email in gone} if everybody else {}
    for source in shown:
        by_owner.setdefault(owners.normal(source.owner), []).append(source)
    return [_owner(email, found, gone) for email, found in sorted(by_owner.items())]


def _owner(email: str, found: list[OwnedSource], gone: dict[str, SuspendedOwner]) -> dict[str, Any]:
    total = Cost()
    for source in found:
        total += source.cost
    suspended_at: datetime | None = gone[email].suspended_at if email in gone else None
    return {
        "owner": email,
        "status": _state(email, gone),
        "suspended_at": suspended_at,
        "cost": asdict(total),
        "sources": [
            {
                "source": source.name,
                "tenant": source.tenant,
                "kind": source.kind,
                "orphaned": dict(source.reasons),
                "cost": asdict(source.cost),
            }
            for source in found
        ],
    }


@app.command("set")
def set_owner(
    name: Annotated[str, typer.Argument(metavar="SOURCE", help="The source's name.", show_default=False)],
    email: Email,
    tenant: OptionalTenant = None,
    as_json: Json = False,
) -> None:
    """Make somebody the owner of a source."""
    with opened_registry() as registry, registry.write() as session:
        tenant_id = tenants.find(session, tenant).id if tenant else None
        source = sources.find(session, name, tenant_id)
        before, after = source.owner, owners.assign(session, source, email)
        of_tenant = tenants.find(session, source.tenant_id).name if source.tenant_id else None
        absent = after in owners.suspended(session)
    document = {"source": name, "tenant": of_tenant, "owner": after, "before": before}

    def render() -> None:
        console().print(f"source [bold]{name}[/bold] is owned by {after}")
        if absent:
            note(f"{after} is suspended: holdfast owner suspend {after} --resume", "yellow")

    show(as_json, document, render)


@app.command()
def suspend(
    email: Email,
    resume: Annotated[bool, typer.Option("--resume", help="The owner is back.")] = False,
    as_json: Json = False,
) -> None:
    """Note that an owner is gone: what that address owns is orphaned until somebody else is set.

    Nothing stops: documents are captured, indexed and served as before.
    """
    found, now = settings(), utc_now()
    with opened_registry(found) as registry:
        with registry.write() as session:
            changed = (
                owners.resume(session, email)
                if resume
                else owners.suspend(session, email, getpass.getuser(), now)
            )
        with registry.read() as session:
            address = owners.normal(email)
            owned = owned_sources(session, partial(index_bytes, found), now)
            theirs = [source for source in owned if owners.normal(source.owner) == address]
    state = "active" if resume else "suspended"
    document = {
        "owner": address,
        "status": state,
        "changed": changed,
        "sources": [{"source": source.name, "tenant": source.tenant} for source in theirs],
    }

    def render() -> None:
        console().print(f"owner [bold]{address}[/bold] is {state}; owns {plural(len(theirs), 'source')}")
        if theirs and not resume:
            note("Next: holdfast owner set SOURCE EMAIL")

    show(as_json, document, render)
