"""Options that many commands share, so that they are spelled and explained alike."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document on stdout and nothing else.", show_default=False),
]
TenantOption = Annotated[
    str,
    typer.Option("--tenant", "-t", metavar="TENANT", help="The tenant, by name or id.", show_default=False),
]
OptionalTenant = Annotated[
    str | None,
    typer.Option("--tenant", "-t", metavar="TENANT", help="The tenant, by name or id.", show_default=False),
]
TenantName = Annotated[
    str, typer.Argument(metavar="NAME", help="The tenant's name (or id).", show_default=False)
]
AsOf = Annotated[
    int | None,
    typer.Option(
        "--as-of",
        metavar="GENERATION",
        help="A retained generation instead of the live one.",
        show_default=False,
    ),
]
SourceOption = Annotated[
    str | None,
    typer.Option("--source", metavar="SOURCE", help="Only this source of the tenant.", show_default=False),
]


def commands(help_text: str) -> typer.Typer:
    """A group of commands."""
    return typer.Typer(help=help_text, no_args_is_help=True, add_completion=False, rich_markup_mode="rich")


def single() -> typer.Typer:
    """A command that stands alone."""
    return typer.Typer(add_completion=False, rich_markup_mode="rich")
