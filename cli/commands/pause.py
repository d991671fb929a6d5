"""`holdfast pause …`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cli.formatting import table
from cli.known_names import refuse_unknown_lane, refuse_unknown_model, warn_of_unknown_tenant
from cli.logs import configure
from cli.opening import settings
from cli.options import Json, commands
from cli.output import console, note, show
from gateway_client.operating import operator

app = commands(
    "A switch for model calls of one tenant, lane, model or feature; it works at once, everywhere."
)


class Kind(StrEnum):
    TENANT = "tenant"
    LANE = "lane"
    MODEL = "model"
    FEATURE = "feature"


What = Annotated[Kind, typer.Argument(metavar="KIND", help="tenant, lane, model or feature.")]
Which = Annotated[str, typer.Argument(metavar="NAME", help="Which one.")]


@app.callback()
def quietly() -> None:
    configure(settings(), spoken=False)


@app.command()
def add(
    kind: What,
    name: Which,
    reason: Annotated[str, typer.Option(help="Told to everybody who is refused.")] = "",
    as_json: Json = False,
) -> None:
    """Refuse every call of it from now on; what is on its way ends.

    A lane is interactive or batch, a model is of the catalogue; tenants and features are as callers name them.
    """
    _hold_against_what_is_there(kind, name)
    with operator() as op:
        op.pause(kind.value, name, reason)
    document = {"kind": kind.value, "value": name, "reason": reason, "paused": True}
    show(as_json, document, lambda: console().print(f"{kind.value} {name} is paused"))


def _hold_against_what_is_there(kind: Kind, name: str) -> None:
    """Raises WrongUse for a lane or model that is not there. Features are whatever callers say."""
    if kind is Kind.LANE:
        refuse_unknown_lane(name)
    elif kind is Kind.MODEL:
        refuse_unknown_model(name)
    elif kind is Kind.TENANT:
        warn_of_unknown_tenant(name)


@app.command()
def remove(kind: What, name: Which, as_json: Json = False) -> None:
    """Lift a pause: its calls go on at once."""
    with operator() as op:
        lifted = op.resume(kind.value, name)
    document = {"kind": kind.value, "value": name, "paused": False, "lifted": lifted}
    told = "goes on" if lifted else "was not paused"
    show(as_json, document, lambda: console().print(f"{kind.value} {name} {told}"))


@app.command("list")
def list_pauses(as_json: Json = False) -> None:
    """What is paused, and why."""
    with operator() as op:
        found = op.pauses()

    def render() -> None:
        if not found:
            note("Nothing is paused.")
            return
        console().print(table(("kind", "name", "~reason"), [tuple(row.values()) for row in found]))

    show(as_json, found, render)
