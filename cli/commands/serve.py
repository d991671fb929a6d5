"""`holdfast serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.logs import configure
from cli.opening import opened_registry, settings
from cli.options import Json, single
from cli.output import console, print_document
from cli.ports import reachable, refuse_taken
from cli.stopping import stopped_by_signals

app = single()


@app.command()
def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.", show_default="HOLDFAST_HOST, 127.0.0.1")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port to listen on.", show_default="HOLDFAST_PORT, 8700"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run the retrieval API alone, until Ctrl-C. /readyz says when the model is loaded."""
    base = settings()
    found = base.model_copy(update={"host": host or base.host, "port": port or base.port})
    configure(found, spoken=True)
    refuse_taken(found.host, found.port, "the API", "--port")
    with opened_registry(found):
        pass
    import uvicorn

    from retrieval.api.app import create_app

    url = f"http://{reachable(found.host)}:{found.port}"
    if as_json:
        print_document({"url": url, "docs": f"{url}/docs"})
    else:
        console().print(f"API: {url}/docs   (Ctrl-C ends it)")
    # Uvicorn raises the signal that ended it again: with a handler of ours there, that is an ordinary end.
    with stopped_by_signals():
        # Its warnings go where ours go, and requests are counted, not logged.
        uvicorn.run(create_app(found), host=found.host, port=found.port, log_config=None, access_log=False)
