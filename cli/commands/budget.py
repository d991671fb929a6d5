"""`holdfast budget …`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from cli.formatting import table
from cli.known_names import refuse_unknown_in_scope
from cli.logs import configure
from cli.opening import settings
from cli.options import Json, commands
from cli.output import console, note, show
from cli.tables import Heading
from gateway_client.ledger.budgets import Use
from gateway_client.operating import operator
from gateway_client.scopes import Span, Unit

app = commands("Budgets of model calls: what a tenant, lane, feature, model, pool or run may use.")
Scope = Annotated[
    str,
    typer.Argument(
        metavar="SCOPE",
        help="tenant=T; tenant=T,lane=L; tenant=T,feature=F; model=M; pool=P; tenant=T,run=R. `*` means each.",
        show_default=False,
    ),
]
Per = Annotated[Span, typer.Option("--window", help="How long it lasts before it starts anew, UTC.")]
Counted = Annotated[
    Unit,
    typer.Option(
        "--unit",
        metavar="UNIT",
        help="What is counted: tokens, requests, or microdollars (a dollar is 1,000,000).",
    ),
]


@app.callback()
def quietly() -> None:
    configure(settings(), spoken=False)


@app.command("set")
def set_limit(
    scope: Scope,
    limit: Annotated[int, typer.Argument(metavar="LIMIT", min=0, help="The most, in the unit.")],
    window: Per = Span.MONTH,
    unit: Counted = Unit.MICRODOLLARS,
    reserve: Annotated[int, typer.Option(min=0, help="The part of it that batch may not touch.")] = 0,
    as_json: Json = False,
) -> None:
    """Set a limit. It holds at once, in every process, and counts from now on.

    A limit that is set within a window does not count what was used before; one that is changed does.
    """
    with operator() as op:
        refuse_unknown_in_scope(scope, op)
        budget = op.set_budget(scope, window, unit, limit, reserve)
    document = {
        "scope": budget.scope,
        "window": window.value,
        "unit": unit.value,
        "limit": limit,
        "reserve": reserve,
    }
    show(
        as_json,
        document,
        lambda: console().print(f"{budget.scope}: {limit:,} {unit.value} per {window.value}"),
    )


@app.command()
def remove(
    scope: Scope, window: Per = Span.MONTH, unit: Counted = Unit.MICRODOLLARS, as_json: Json = False
) -> None:
    """Take a limit away, at once, in every process."""
    with operator() as op:
        op.remove_budget(scope, window, unit)
    document = {"scope": scope, "window": window.value, "unit": unit.value, "removed": True}
    show(as_json, document, lambda: console().print(f"{scope}: no limit of {unit.value} per {window.value}"))


@app.command("show")
def show_limits(
    scope: Annotated[
        str | None, typer.Option(help="Only scopes that hold this text.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Every budget, and how full it is in the window that runs."""
    with operator() as op:
        found = [_as_json(use) for use in op.budgets() if scope is None or scope in use.scope]

    def render() -> None:
        if not found:
            note("No budget is set: holdfast budget set 'tenant=*' 1000000 --window day")
            return
        columns = ("scope", "window", "unit", "#limit", "#left", "?#used", "?#held", "?resets")
        names = [Heading.of(column).name for column in columns]
        console().print(table(columns, [tuple(row[name] for name in names) for row in found]))

    show(as_json, found, render)


def _as_json(use: Use) -> dict[str, Any]:
    budget, used = use.budget, use.used + use.overrun
    return {
        "scope": use.scope,
        "set_for": budget.scope,
        "window": budget.window.value,
        "unit": budget.unit.value,
        "limit": budget.limit,
        "reserve": budget.reserve,
        "used": used,
        "held": use.held,
        "overrun": use.overrun,
        "left": max(0, budget.limit - used - use.held),
        "resets": None if use.resets is None else datetime.fromtimestamp(use.resets, UTC),
    }
