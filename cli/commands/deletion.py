"""`holdfast deletion …`."""

from __future__ import annotations

import getpass
from typing import Annotated, Any, Literal

import typer

from cli.formatting import plural, short, table
from cli.logs import configure
from cli.opening import opened_registry, settings
from cli.options import Json, SourceOption, TenantOption, commands
from cli.output import console, note, show
from registry import deletions, tenants
from registry.clock import utc_now
from registry.crash_points import crash_point
from registry.deletions import HeldCommit

app = commands("Mass deletions: too many at once hide nothing until a person says that they are meant.")
Positions = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="POSITION", help="Commits by position; all that are held by default.", show_default=False
    ),
]
By = Annotated[str, typer.Option("--by", metavar="WHO", help="Who decided.", show_default="you")]
LISTED = 12


@app.callback()
def quietly() -> None:
    configure(settings(), spoken=False)


@app.command("list")
def list_held(tenant: TenantOption, source: SourceOption = None, as_json: Json = False) -> None:
    """Commits whose deletions wait, with the documents that they would take away."""
    with opened_registry() as registry, registry.read() as session:
        owner = tenants.find(session, tenant)
        found = deletions.held(session, owner.id, source)

    def render() -> None:
        if not found:
            console().print("no deletion waits for a person")
            return
        rows = [
            (h.source, short(h.commit.position), h.commit.committed_at, len(h.documents), _some(h))
            for h in found
        ]
        console().print(table(("source", "position", "?committed", "#deletes", "~documents"), rows))
        note(f"holdfast deletion confirm|reject --tenant {owner.name} [POSITION…]")

    show(as_json, [_as_json(held) for held in found], render)


def _some(held: HeldCommit) -> str:
    more = len(held.documents) - LISTED
    return "\n".join([*held.documents[:LISTED], *([f"… and {more} more"] if more > 0 else [])])


def _as_json(held: HeldCommit) -> dict[str, Any]:
    return {
        "source": held.source,
        "position": held.commit.position,
        "committed_at": held.commit.committed_at,
        "captured_at": held.commit.captured_at,
        "deletes": len(held.documents),
        "documents": list(held.documents),
    }


@app.command()
def confirm(
    tenant: TenantOption,
    positions: Positions = None,
    source: SourceOption = None,
    by: By = "",
    as_json: Json = False,
) -> None:
    """The deletions are meant: their documents are hidden at once."""
    _decide("confirmed", tenant, positions, source, by, as_json)


@app.command()
def reject(
    tenant: TenantOption,
    positions: Positions = None,
    source: SourceOption = None,
    by: By = "",
    as_json: Json = False,
) -> None:
    """The deletions are an accident: their documents stay, until the source deletes them anew."""
    _decide("rejected", tenant, positions, source, by, as_json)


def _decide(
    decision: Literal["confirmed", "rejected"],
    tenant: str,
    positions: list[str] | None,
    source: str | None,
    by: str,
    as_json: bool,
) -> None:
    who = by or getpass.getuser()
    with opened_registry() as registry, registry.write() as session:
        owner = tenants.find(session, tenant)
        found = deletions.decide(session, owner.id, decision, who, utc_now(), source, positions or [])
    crash_point("decide:after-commit")

    def render() -> None:
        if not found:
            console().print("no deletion waits for a person")
            return
        documents = sum(len(held.documents) for held in found)
        console().print(f"{decision} {plural(documents, 'deletion')} in {plural(len(found), 'commit')}")
        note(f"Next: holdfast ingest --tenant {owner.name}")

    show(as_json, [{**_as_json(held), "decision": decision, "by": who} for held in found], render)
