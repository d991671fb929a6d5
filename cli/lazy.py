"""Commands that are imported when they are run: `holdfast --help` needs none of them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

BEGIN, TENANTS, DATA, QUALITY, MODELS = (
    "Running it",
    "Tenants and sources",
    "Documents and search",
    "Generations and checks",
    "Model calls",
)

# (command, panel, what `holdfast --help` says of it); the module is cli.commands.<command>.
COMMANDS = (
    ("init", BEGIN, "Make the home folder and bring the registry up to date."),
    ("demo", BEGIN, "Two example tenants, ingested and served: the quickest look at it all."),
    ("up", BEGIN, "Run the API, the capturer, and Dagster, until Ctrl-C."),
    ("serve", BEGIN, "Run the retrieval API alone."),
    ("capture", BEGIN, "Run the capturer alone: read what changed in every source."),
    ("simulate-provider", BEGIN, "A model provider to rehearse with: capacity, latency, every fault."),
    ("doctor", BEGIN, "Examine everything and say what is wrong."),
    ("backup", BEGIN, "Copy registry and index, consistently, while everything runs."),
    ("restore", BEGIN, "Make a home from a backup."),
    ("tenant", TENANTS, "Tenants: create, list, show, suspend, erase."),
    ("key", TENANTS, "Keys of the retrieval API: create, revoke, list."),
    ("contract", TENANTS, "What a tenant is promised: show, set."),
    ("source", TENANTS, "Where documents live: add, list, set, test, remove."),
    ("owner", TENANTS, "Who answers for sources: list, set, suspend."),
    ("ingest", DATA, "Bring a tenant's index up to its sources, if every check passes."),
    ("search", DATA, "Search a tenant's documents, as the API does."),
    ("document", DATA, "Documents as served: list, show, history."),
    ("deletion", DATA, "Mass deletions that wait for a person: list, confirm, reject."),
    ("deadletter", DATA, "Documents that cannot be read or parsed: list, retry, drop."),
    ("reindex", DATA, "Build a tenant's whole index anew, beside the one that serves."),
    ("generations", QUALITY, "A tenant's generations, newest first."),
    ("rollback", QUALITY, "Serve an older generation and hold ingestion."),
    ("resume", QUALITY, "Release the hold that a rollback left."),
    ("rebuild", QUALITY, "Make a damaged index again from what is stored."),
    ("canary", QUALITY, "Known answers: import, list, run."),
    ("evaluate", QUALITY, "Measure search against judgements in BEIR's format."),
    ("budget", MODELS, "Budgets of model calls: set, remove, show."),
    ("pool", MODELS, "Capacities that models share: set, show."),
    ("pause", MODELS, "Refuse the calls of a tenant, lane, model or feature: add, remove, list."),
    ("calls", MODELS, "The newest model calls, with their records."),
    ("spend", MODELS, "What model calls cost, by tenant, feature, model, …"),
    ("reconcile", MODELS, "Correct what is unknown by a provider's bill."),
)


class LazyCommands(TyperGroup):
    """Lists commands from the table above and imports the one that is called."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - handed on as they come
        super().__init__(**attributes)
        self.commands = {
            name: TyperCommand(name, help=text, rich_help_panel=panel) for name, panel, text in COMMANDS
        }

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:  # noqa: ANN401
        """The command with everything that it needs, imported now."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name is None else load(name), rest


def load(name: str) -> Any:  # noqa: ANN401 - Typer's commands have no public type
    """The command of this name. It is a group where its module has more than one."""
    command = get_command(import_module(f"cli.commands.{name.replace('-', '_')}").app)
    command.name = name
    _flow(command)
    return command


def _flow(command: Any) -> None:  # noqa: ANN401
    """Let help texts wrap at the terminal's width: Typer keeps the line breaks within a docstring's paragraphs."""
    paragraphs = (command.help or "").split("\n\n")
    command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    for inner in getattr(command, "commands", {}).values():
        _flow(inner)
