"""`holdfast calls`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.padding import Padding

from cli.formatting import table
from cli.logs import configure
from cli.opening import settings
from cli.options import Json, single
from cli.output import console, note, show
from gateway_client.operating import operator

app = single()
CALL = ("started", "tenant", "model", "outcome", "#tokens", "#µ$", "?#s", "?lane", "?feature")
ATTEMPT = ("attempt", "model", "state", "#sends", "#tokens", "#µ$")


@app.command()
def calls(
    tenant: Annotated[
        str | None, typer.Option("--tenant", "-t", help="Only this tenant's.", show_default=False)
    ] = None,
    outcome: Annotated[
        str | None, typer.Option(help="Only with this outcome: ok, length, refusal, …", show_default=False)
    ] = None,
    attempt: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Only the call of this attempt: its id, or the provider's of a request, as on a bill.",
            show_default=False,
        ),
    ] = None,
    attempts: Annotated[
        bool, typer.Option("--attempts", help="Each call's attempts, with the ids that a bill names.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    as_json: Json = False,
) -> None:
    """The newest model calls; with --json each with its canonical record and its attempts."""
    configure(settings(), spoken=False)
    with operator() as op:
        found = op.calls(tenant=tenant, outcome=outcome, attempt=attempt, limit=limit)

    def render() -> None:
        if not found:
            narrowed = (tenant, outcome, attempt) != (None, None, None)
            note("No such call was made." if narrowed else "No call was made yet.")
        elif attempts or attempt is not None:
            _print_attempts(found)
        else:
            console().print(table(CALL, [_line(row) for row in found]))
            note("holdfast calls --attempts lists what was sent for each; --json has all that is known")

    show(as_json, found, render)


def _line(row: dict[str, Any]) -> tuple[object, ...]:
    began = datetime.fromtimestamp(row["started"], UTC)
    seconds = None if row["ended"] is None else f"{row['ended'] - row['started']:.2f}"
    # Who answered is news only where it was another than who was asked.
    stood_in = row["answered_by"] and row["answered_by"] != row["model"]
    model = f"{row['model']} → {row['answered_by']}" if stood_in else row["model"]
    ended = row["outcome"] or row["state"]
    amounts = (row["tokens"], row["cost_micro"], seconds)
    return began, row["tenant"], model, ended, *amounts, row["lane"], row["feature"]


def _print_attempts(calls: list[dict[str, Any]]) -> None:
    """A block a call: what was asked, then each attempt at it."""
    for row in calls:
        began = datetime.fromtimestamp(row["started"], UTC)
        asked = f"{row['tenant']}, {row['model']}: {row['outcome'] or row['state']}"
        console().print(f"{began:%Y-%m-%d %H:%M:%S}  [bold]{escape(asked)}[/bold]", soft_wrap=True)
        if not row["attempts"]:
            console().print("  no attempt was made")
        else:
            made = table(ATTEMPT, [_attempt(one, row["model"]) for one in row["attempts"]])
            console().print(Padding(made, (0, 0, 0, 2)))


def _attempt(one: dict[str, Any], asked: str) -> tuple[object, ...]:
    model = "" if one["model"] == asked else one["model"]
    return one["id"], model, one["state"], one["sends"], one["tokens"], one["cost_micro"]
