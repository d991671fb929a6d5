"""`holdfast demo`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from cli.commands.canary import print_result
from cli.commands.ingest import print_outcome
from cli.commands.up import DagsterPort, Port, run_up, with_ports
from cli.demo import DemoTenant, build_demo, example_search
from cli.failures import REFUSED
from cli.formatting import facts
from cli.logs import configure
from cli.opening import settings
from cli.options import Json, single
from cli.output import console, note, print_document
from cli.running import Addresses, addresses

app = single()


@app.command()
def demo(
    port: Port = None,
    dagster_port: DagsterPort = None,
    no_serve: Annotated[bool, typer.Option("--no-serve", help="End once the tenants are ingested.")] = False,
    as_json: Json = False,
) -> None:
    """Two tenants from the examples, ingested, checked and served, with a question to ask each.

    northwind-rail reads a git repository, harbor-clinic an SQLite wiki; both are made in $HOLDFAST_HOME/demo.
    A second run makes new keys and goes straight to serving.
    """
    found = with_ports(settings(), port, dagster_port)
    configure(found, spoken=False)
    tenants = build_demo(found)
    if not as_json:
        for tenant in tenants:
            _print_ingested(tenant)
    if no_serve:
        if as_json:
            print_document(_document(tenants, addresses(found)))
        else:
            note("Next: holdfast up")
        if not all(tenant.accepted for tenant in tenants):
            raise typer.Exit(REFUSED)
        return
    run_up(found, as_json, lambda where: _print(tenants, where), lambda where: _document(tenants, where))


def _print_ingested(tenant: DemoTenant) -> None:
    if tenant.outcome is not None:
        print_outcome(tenant.outcome)
    if tenant.canaries is not None:
        print_result(tenant.canaries)
    console().print()


def _print(tenants: list[DemoTenant], where: Addresses) -> None:
    for tenant in tenants:
        console().rule(tenant.name, align="left")
        console().print(f"key: {tenant.key}\n{example_search(tenant, where.api)}\n", soft_wrap=True)
    pairs = [
        ("API", where.docs),
        ("Dagster", where.dagster),
        ("sources", str(where.logs.with_name("demo"))),
        ("logs", str(where.logs)),
    ]
    console().print(facts(pairs))
    note("Change a document in the sources and ask again. Ctrl-C stops everything.")


def _document(tenants: list[DemoTenant], where: Addresses) -> dict[str, Any]:
    rows = [{**asdict(tenant), "search": example_search(tenant, where.api)} for tenant in tenants]
    return {**asdict(where), "tenants": rows}
