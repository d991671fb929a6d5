"""`holdfast restore`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli.formatting import facts, plural, size
from cli.logs import configure
from cli.opening import settings
from cli.options import Json, single
from cli.output import console, note, show

app = single()


@app.command()
def restore(
    origin: Annotated[Path, typer.Argument(metavar="FROM", help="A backup's folder.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Make the home ($HOLDFAST_HOME, which must be empty or absent) from a backup.

    Every file is compared with its digest and every index is opened before the home gets its name. The
    capturer then goes on from the positions of the backup.
    """
    found = settings()
    configure(found, spoken=False)
    from pipelines.backup.restoring import restore as restore_backup

    made = restore_backup(origin.expanduser().absolute(), found)

    def render() -> None:
        pairs = [("home", str(made.home)), ("taken", made.created_at), ("registry", made.registry)]
        counts = f"{plural(made.generations, 'generation')}, {size(made.bytes)} in all"
        console().print(facts([*pairs, ("index", counts)]))
        note("Next: holdfast init, holdfast doctor, holdfast up")

    show(as_json, asdict(made), render)
