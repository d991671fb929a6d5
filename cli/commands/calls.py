"""`holdfast calls`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from cli.formatting import table
from cli.logs import configure
from cli.opening import settings
from cli.options import Json, single
from cli.output import console, note, show
from gateway_client.operating import operator

app = single()


@app.command()
def calls(
    tenant: Annotated[
        str | None, typer.Option("--tenant", "-t", help="Only this tenant's.", show_default=False)
    ] = None,
    outcome: Annotated[
        str | None, typer.Option(help="Only with this outcome: ok, length, refusal, …", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    as_json: Json = False,
) -> None:
    """The newest model calls, each with its canonical record."""
    configure(settings(), spoken=False)
    with operator() as op:
        found = op.calls(tenant=tenant, outcome=outcome, limit=limit)

    def render() -> None:
        if not found:
            note("No call was made yet." if tenant is None and outcome is None else "No such call was made.")
            return
        columns = (
            "started",
            "tenant",
            "lane",
            "feature",
            "model",
            "answered by",
            "outcome",
            "#tokens",
            "#µ$",
            "#s",
        )
        console().print(table(columns, [_line(row) for row in found]))

    show(as_json, found, render)


def _line(row: dict[str, Any]) -> tuple[object, ...]:
    began = datetime.fromtimestamp(row["started"], UTC)
    seconds = None if row["ended"] is None else f"{row['ended'] - row['started']:.2f}"
    return (
        began,
        row["tenant"],
        row["lane"],
        row["feature"],
        row["model"],
        row["answered_by"],
        row["outcome"] or row["state"],
        row["tokens"],
        row["cost_micro"],
        seconds,
    )
