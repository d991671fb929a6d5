"""`holdfast backup`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli.formatting import facts, plural, size
from cli.logs import configure
from cli.opening import opened_registry, settings
from cli.options import Json, single
from cli.output import console, note, show, warn
from gateway_client.settings import gateway_settings
from gateway_client.store.opening import is_there

app = single()
ELSEWHERE = (
    "the registry is on a database server and is NOT in this backup: back it up with the server's own tools "
    "(pg_dump); an index that one of the two lacks is made again by `holdfast rebuild`"
)
LEDGER = (
    "the ledger of model calls, with its budgets and pauses, is NOT in this backup: docs/operations.md says how to "
    "copy it"
)


@app.command()
def backup(
    to: Annotated[Path, typer.Argument(metavar="TO", help="A new folder.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Copy the registry at one instant, and every live and retained index, to a new folder.

    Nothing has to be stopped. The copy is verified and on disk before it gets its name: what a kill leaves
    is no backup. Not in it: the ledger of model calls with its budgets, Dagster's run history, logs, mirrors of
    repositories (fetched again).
    """
    found = settings()
    configure(found, spoken=False)
    with opened_registry(found) as registry:
        from pipelines.backup.taking import take_backup
        from registry.clock import utc_now

        made = take_backup(registry, found.index, to.expanduser().absolute(), utc_now)

    def render() -> None:
        kept = "copied" if made.registry == "copied" else "not in it"
        pairs = [("backup", str(made.path)), ("registry", kept)]
        counts = f"{plural(made.generations, 'generation')}, {size(made.bytes)} in all"
        console().print(facts([*pairs, ("index", counts)]))
        note(f"Next: HOLDFAST_HOME=NEW holdfast restore {made.path}")

    if made.registry != "copied":
        warn(ELSEWHERE)
    if is_there(gateway_settings().store):
        warn(LEDGER)
    show(as_json, asdict(made), render)
