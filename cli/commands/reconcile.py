"""`holdfast reconcile`."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import WrongUse
from cli.failures import REFUSED
from cli.logs import configure
from cli.opening import settings
from cli.options import Json, single
from cli.output import console, show, warn
from gateway_client.operating import operator

app = single()


@app.command()
def reconcile(
    bill: Annotated[
        Path,
        typer.Argument(
            metavar="BILL",
            help="JSON Lines: attempt, input, output, cache_read, cache_write, reasoning, micro_dollars.",
            exists=True,
            dir_okay=False,
        ),
    ],
    complete_until: Annotated[
        datetime | None,
        typer.Option(
            help="The bill holds everything before this time, UTC: what it does not name was not charged.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Correct what was charged at its maximum by a provider's bill. Exit status 1 if a difference is left."""
    configure(settings(), spoken=False)
    until = None if complete_until is None else complete_until.replace(tzinfo=UTC).timestamp()
    with operator() as op:
        done = op.reconcile(_lines(bill), until)
    clean = not (done.difference or done.differing or done.unmatched)
    document = {**dataclasses.asdict(done), "difference": done.difference, "clean": clean}

    def render() -> None:
        console().print(f"{done.corrected} attempts corrected, {done.returned:,} micro-dollars given back")
        if not clean:
            warn(
                f"{len(done.differing)} settled attempts differ from the bill, {len(done.unmatched)} of its lines "
                f"are of no attempt here; the ledger is {done.difference:,} micro-dollars above it"
            )

    show(as_json, document, render)
    raise typer.Exit(0 if clean else REFUSED)


def _lines(bill: Path) -> list[str]:
    """Raises WrongUse for a file that is no text."""
    try:
        # Not `splitlines`: within JSON other separators than these may stand as they are.
        return bill.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as wrong:
        raise WrongUse(f"{bill} is no UTF-8 text (at byte {wrong.start}): JSON Lines are expected") from wrong
