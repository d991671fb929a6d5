"""`holdfast up`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import typer

from cli.formatting import facts
from cli.logs import configure
from cli.opening import settings
from cli.options import Json, single
from cli.output import console, note, print_document, side_console
from cli.running import Addresses, addresses, prepared, wait_until_ready
from cli.stopping import stopped_by_signals
from registry.settings import Settings

app = single()
Port = Annotated[
    int | None, typer.Option(min=1, max=65535, help="Port of the API.", show_default="HOLDFAST_PORT, 8700")
]
DagsterPort = Annotated[
    int | None,
    typer.Option(
        "--dagster-port",
        min=1,
        max=65535,
        help="Port of Dagster.",
        show_default="HOLDFAST_DAGSTER_PORT, 3000",
    ),
]


@app.command()
def up(port: Port = None, dagster_port: DagsterPort = None, as_json: Json = False) -> None:
    """Run everything: the API, the capturer, Dagster's web server and daemon, until Ctrl-C.

    A process that dies is started again. What each of them says is in $HOLDFAST_HOME/logs.
    """
    found = with_ports(settings(), port, dagster_port)
    configure(found, spoken=False)
    run_up(found, as_json, _print)


def with_ports(base: Settings, port: int | None, dagster_port: int | None) -> Settings:
    """The settings with ports from the command line."""
    return base.model_copy(
        update={"port": port or base.port, "dagster_port": dagster_port or base.dagster_port}
    )


def run_up(
    found: Settings,
    as_json: bool,
    render: Callable[[Addresses], None],
    document: Callable[[Addresses], object] = asdict,
) -> None:
    """Start, wait until ready, print, supervise until Ctrl-C. Raises PortTaken, NotReady."""
    with stopped_by_signals() as stop:
        supervisor = prepared(found, lambda text: note(text, "yellow"), stop)
        supervisor.start()
        try:
            with side_console().status("starting the API, the capturer and Dagster …"):
                ready = wait_until_ready(supervisor, found)
            if ready and as_json:
                print_document(document(addresses(found)))
            elif ready:
                render(addresses(found))
        except BaseException:
            supervisor.end()
            raise
        supervisor.watch()
    note("stopped")


def _print(where: Addresses) -> None:
    console().print(facts([("API", where.docs), ("Dagster", where.dagster), ("logs", str(where.logs))]))
    note("Ctrl-C stops everything.")
