"""`holdfast key …`."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer

from cli.formatting import status, table
from cli.logs import configure
from cli.opening import opened_registry, settings
from cli.options import Json, TenantOption, commands
from cli.output import console, note, show
from registry import keys, tenants
from registry.clock import utc_now
from registry.schema import ApiKey

app = commands("Keys of the retrieval API. A key speaks for one tenant and is shown once.")


class Role(StrEnum):
    READER = "reader"
    SEARCH = "search"


@app.callback()
def quietly() -> None:
    configure(settings(), spoken=False)


@app.command()
def create(
    tenant: TenantOption,
    role: Annotated[
        Role, typer.Option(help="reader: everything of the tenant; search: nothing but searching.")
    ] = Role.READER,
    expires_in: Annotated[
        float | None,
        typer.Option(
            "--expires-in", metavar="DAYS", min=0, help="Valid for so many days.", show_default="for ever"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it: the only time that it is seen."""
    now = utc_now()
    expires_at = None if expires_in is None else now + timedelta(days=expires_in)
    with opened_registry() as registry, registry.write() as session:
        owner = tenants.find(session, tenant)
        made = keys.create(session, owner.id, now, role.value, expires_at)
    document = {
        "key": made.key,
        "id": made.id,
        "role": made.role,
        "tenant": owner.name,
        "expires_at": made.expires_at,
    }

    def render() -> None:
        console().print(made.key, soft_wrap=True)
        note(f"Key {made.id} of {owner.name}, role {made.role}. It is not stored: keep it now.")

    show(as_json, document, render)


@app.command()
def revoke(
    identifier: Annotated[str, typer.Argument(metavar="KEYID", help="The key's id, or the key itself.")],
    tenant: TenantOption,
    as_json: Json = False,
) -> None:
    """Revoke a key, at once and for good."""
    parts = identifier.split("_")
    identifier = parts[1] if len(parts) == 3 and parts[0] == "hf" else identifier
    with opened_registry() as registry, registry.write() as session:
        owner = tenants.find(session, tenant)
        revoked = keys.revoke(session, owner.id, identifier, utc_now())
    text = f"key {revoked.id} of [bold]{owner.name}[/bold] is revoked"
    show(as_json, {"tenant": owner.name, **_as_json(revoked, utc_now())}, lambda: console().print(text))


@app.command("list")
def list_keys(tenant: TenantOption, as_json: Json = False) -> None:
    """A tenant's keys, oldest first; secrets are not kept and not shown."""
    with opened_registry() as registry, registry.read() as session:
        found = keys.of_tenant(session, tenants.find(session, tenant).id)
    now = utc_now()

    def render() -> None:
        rows = [
            (k.id, k.role, status(_state(k, now)), k.created_at, k.expires_at, k.revoked_at) for k in found
        ]
        console().print(table(("id", "role", "state", "created", "expires", "?revoked"), rows))

    show(as_json, [_as_json(key, now) for key in found], render)


def _as_json(key: ApiKey, now: datetime) -> dict[str, Any]:
    return {
        "id": key.id,
        "role": key.role,
        "state": _state(key, now),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }


def _state(key: ApiKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "active"
