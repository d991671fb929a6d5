"""`holdfast pool …`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.formatting import table
from cli.known_names import pools, refuse_unknown
from cli.logs import configure
from cli.opening import settings
from cli.options import Json, commands
from cli.output import console, show
from gateway_client.operating import operator

app = commands("Capacities that models share: how many calls are in flight, who waits, what is shut.")
Count = typer.Option(min=0, show_default=False)


@app.callback()
def quietly() -> None:
    configure(settings(), spoken=False)


@app.command("set")
def set_pool(
    pool: Annotated[str, typer.Argument(metavar="POOL", help="The pool's name in the catalogue.")],
    window: Annotated[
        int | None, typer.Option(min=1, help="Most calls in flight.", show_default=False)
    ] = None,
    headroom: Annotated[
        int | None, typer.Option(min=0, help="Slots that batch never takes.", show_default=False)
    ] = None,
    batch_minimum: Annotated[
        int | None, typer.Option(min=0, help="Slots that batch has before anyone.", show_default=False)
    ] = None,
    batch_max_wait: Annotated[
        float | None, typer.Option(min=0, help="Seconds after which batch goes first.", show_default=False)
    ] = None,
    queue_interactive: Annotated[
        int | None, typer.Option(min=0, help="Interactive calls that may wait.", show_default=False)
    ] = None,
    queue_batch: Annotated[
        int | None, typer.Option(min=0, help="Batch calls that may wait.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Change what a pool promises; what is not named stays. The catalogue does not change it back.

    Pools are those of the catalogue: `holdfast pool show` lists them.
    """
    given = {
        "max_window": window,
        "headroom": headroom,
        "batch_minimum": batch_minimum,
        "batch_max_wait": batch_max_wait,
        "queue_interactive": queue_interactive,
        "queue_batch": queue_batch,
    }
    changes: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    with operator() as op:
        refuse_unknown("pool", pool, [row["pool"] for row in pools(op)])
        wanted = op.set_pool(pool, changes)
    document = {"pool": pool, **wanted.model_dump()}
    show(
        as_json,
        document,
        lambda: console().print(
            f"pool {pool}: {wanted.max_window} in flight at most, headroom {wanted.headroom}"
        ),
    )


@app.command("show")
def show_pools(
    pool: Annotated[
        str | None, typer.Argument(metavar="POOL", help="Only this one.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Every pool: its window, what is in flight, what waits, its gate and its breakers."""
    with operator() as op:
        there = pools(op)
    if pool is not None:
        refuse_unknown("pool", pool, [row["pool"] for row in there])
    found = [row for row in there if pool in (None, row["pool"])]

    def render() -> None:
        columns = ("pool", "#window", "#in flight", "#waiting", "gate", "~breakers")
        console().print(table(columns, [_line(row) for row in found]))

    show(as_json, found, render)


def _line(row: dict[str, Any]) -> tuple[object, ...]:
    gate = f"opens in {row['gate_opens_in']:g} s" if row["gate_opens_in"] else "open"
    broken = [
        f"{name} {_told(found)}" for name, found in row["breakers"].items() if found["state"] != "closed"
    ]
    return (
        row["pool"],
        f"{row['window']:.1f}",
        sum(row["in_flight"].values()),
        sum(row["waiting"].values()),
        gate,
        "\n".join(broken) or "closed",
    )


def _told(breaker: dict[str, Any]) -> str:
    """A breaker that is not closed: for how long it still is open, or what half open means."""
    if breaker["state"] == "open":
        return f"open for {breaker['wait']:.1f} s"
    return "half-open: a probe is out" if breaker["wait"] else "half-open: the next call is a probe"
