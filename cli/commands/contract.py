"""`holdfast contract …`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.assignments import from_file, from_pairs, merged
from cli.contract_budgets import apply_budgets
from cli.formatting import table
from cli.known_names import unknown
from cli.logs import configure
from cli.opening import opened_registry, settings
from cli.options import Json, TenantOption, commands
from cli.output import console, note, show
from gateway_client.lanes import Lane
from registry import contracts, tenants
from registry.clock import utc_now
from registry.contract import Contract, LaneBudget
from registry.errors import InvalidContract
from registry.locking import lock_tenant

app = commands("What a tenant is promised, and what the checks hold its index to.")


@app.callback()
def quietly() -> None:
    configure(settings(), spoken=False)


@app.command("show")
def show_contract(tenant: TenantOption, as_json: Json = False) -> None:
    """The contract in force, value by value."""
    with opened_registry() as registry, registry.read() as session:
        found = tenants.find(session, tenant)
        contract = contracts.current(session, found.id)
        version = contracts.version(session, found.id)

    def render() -> None:
        console().print(
            f"contract of [bold]{found.name}[/bold], version {version}, hash {contract.hash[:12]}\n"
        )
        console().print(table(("name", "~value", "~meaning"), _rows(contract)))

    show(as_json, _as_json(found.name, version, contract), render)


def _rows(contract: Contract) -> list[tuple[str, str, str]]:
    values = contract.model_dump(mode="json")
    default = Contract().model_dump(mode="json")
    return [
        (name, f"{values[name]}" + ("" if values[name] == default[name] else " *"), field.description or "")
        for name, field in Contract.model_fields.items()
    ]


def _as_json(tenant: str, version: int, contract: Contract) -> dict[str, Any]:
    return {"tenant": tenant, "version": version, "hash": contract.hash, **contract.model_dump(mode="json")}


@app.command("set")
def set_contract(
    tenant: TenantOption,
    pairs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="Values as JSON or plain text; dots reach inside: budgets.batch.tokens=100000",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="F.json", help="A JSON object of values.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Change values of the contract: a new version, in force at once. It re-gates; it rebuilds nothing.

    Budgets are limits of model calls a month, by lane (null takes one away): `holdfast budget show` tells how full
    they are.
    """
    values = merged(from_file(file) if file else {}, from_pairs(pairs or []))
    _refuse_unknown_names(values)
    with opened_registry() as registry, registry.write() as session:
        found = lock_tenant(session, tenants.find(session, tenant).id)
        before = contracts.current(session, found.id)
        contract = before.changed(merged(before.model_dump(mode="json"), values))
        apply_budgets(
            found.name, before, contract
        )  # where the ledger cannot be had, the contract stays as it was
        version = contracts.store(session, found.id, contract, utc_now())

    def render() -> None:
        changed = [name for name in Contract.model_fields if getattr(before, name) != getattr(contract, name)]
        said = (
            f"version {version}: {', '.join(changed)} changed"
            if changed
            else f"version {version}: nothing changed"
        )
        console().print(f"contract of [bold]{found.name}[/bold], {said}")
        if changed:
            note("The next ingest judges by it; searches read it from now on.")
        if "budgets" in changed:
            note(f"Model calls are held to it from now on: holdfast budget show --scope tenant={found.name}")

    show(as_json, _as_json(found.name, version, contract), render)


def _refuse_unknown_names(values: dict[str, Any]) -> None:
    """Raises InvalidContract for a name that no contract has, with the nearest that it has."""
    _refuse(values, Contract.model_fields, "")
    budgets = values.get("budgets")
    lanes = budgets if isinstance(budgets, dict) else {}
    _refuse(lanes, Lane, "budgets.")
    for lane, limits in lanes.items():
        _refuse(limits if isinstance(limits, dict) else {}, LaneBudget.model_fields, f"budgets.{lane}.")


def _refuse(values: Iterable[str], known: Iterable[str], inside: str) -> None:
    names = [f"{inside}{name}" for name in known]
    for name in values:
        if f"{inside}{name}" not in names:
            raise InvalidContract(unknown("contract value", f"{inside}{name}", names))
