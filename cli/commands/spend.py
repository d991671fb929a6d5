"""`holdfast spend`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.formatting import table
from cli.logs import configure
from cli.opening import settings
from cli.options import Json, single
from cli.output import console, note, show
from gateway_client.ledger.reports import GROUPS
from gateway_client.operating import operator
from gateway_client.scopes import Span

app = single()


@app.command()
def spend(
    by: Annotated[
        str, typer.Option(help=f"Grouped by any of {', '.join(GROUPS)}, joined by commas.")
    ] = "tenant,feature,model",
    window: Annotated[Span, typer.Option(help="Since this window began, UTC.")] = Span.DAY,
    as_json: Json = False,
) -> None:
    """What model calls cost since a window began; what is unknown counts at its maximum."""
    configure(settings(), spoken=False)
    groups = [name.strip() for name in by.split(",") if name.strip()]
    with operator() as op:
        found = op.spend(groups, window)

    def render() -> None:
        if not found:
            note(f"Nothing was spent in this {window.value}.")
            return
        columns = (*groups, "?#attempts", "#tokens", "#µ$", "?#of it unknown")
        rows = [
            (
                *(row[name] for name in groups),
                row["attempts"],
                row["tokens"],
                row["cost_micro"],
                row["unknown_micro"],
            )
            for row in found
        ]
        console().print(table(columns, rows))

    show(as_json, found, render)
