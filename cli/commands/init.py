"""`holdfast init`."""

from __future__ import annotations

from dataclasses import asdict

from cli.formatting import facts
from cli.home import initialise
from cli.logs import configure
from cli.opening import settings
from cli.options import Json, single
from cli.output import console, note, show

app = single()


@app.command()
def init(as_json: Json = False) -> None:
    """Make the home folder and bring the registry up to date. Safe to repeat; an upgrade is this, too."""
    found = settings()
    configure(found, spoken=False)
    home = initialise(found)

    def render() -> None:
        pairs = [("home", str(home.home)), ("registry", home.registry), ("embedding model", home.model)]
        console().print(facts(pairs))
        note("Next: holdfast tenant create NAME, or holdfast demo to see it at work.")

    show(as_json, {**asdict(home), "home": str(home.home)}, render)
