"""The `holdfast` command: finds what is called, runs it, turns what it raises into a message and a status."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Annotated, NoReturn

import typer

from cli import output
from cli.failures import INTERRUPTED, INTERRUPTION, REFUSED, WRONG_USE, Failure, describe
from cli.lazy import LazyCommands

log = logging.getLogger("holdfast.cli")

app = typer.Typer(
    cls=LazyCommands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
    help="Multi-tenant RAG that holds: sources are captured, indices are gated, answers are of one tenant.",
    epilog="State lives in $HOLDFAST_HOME (default ./.holdfast). Begin with [bold]holdfast demo[/bold].",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            found = version("holdfast")
        except PackageNotFoundError:
            found = "(not installed)"
        typer.echo(f"holdfast {found}")
        raise typer.Exit


@app.callback()
def holdfast(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Everything that Holdfast does, by command."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 done, 1 a check or gate said no, 2 wrong use, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    as_json = wants_json(given)
    try:
        with output.reserved_stdout() if as_json else nullcontext():
            status = _run(given, as_json)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read us is gone: `holdfast document list | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = REFUSED
    sys.exit(status)


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether `--json` is among the options (what follows `--` is none)."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in options and not {"--help", "-h"} & set(options)


def _run(arguments: list[str], as_json: bool) -> int:
    try:
        result = typer.main.get_command(app).main(arguments, prog_name="holdfast", standalone_mode=False)
    except BrokenPipeError:
        raise
    except typer.Abort:
        return _report(Failure("aborted", "aborted, nothing was done", REFUSED), as_json)
    except typer.TyperException as error:
        return _report_usage(error, as_json)
    except Exception as error:
        return _report_error(error, as_json)
    status = result if isinstance(result, int) else 0
    if status == INTERRUPTED and not output.has_printed():
        return _report(Failure(INTERRUPTION, "interrupted", INTERRUPTED), as_json)
    return status


def _report_usage(error: typer.TyperException, as_json: bool) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(error.format_message(), err=as_json)
        return WRONG_USE
    context = getattr(error, "ctx", None)
    hint = f" (see `{context.command_path} --help`)" if context is not None else ""
    return _report(Failure("wrong_use", error.format_message() + hint, WRONG_USE), as_json)


def _report_error(error: Exception, as_json: bool) -> int:
    failure = describe(error)
    if failure is None:
        log.critical("unexpected error", exc_info=error)
        failure = Failure("internal_error", f"{type(error).__name__}: {error}", REFUSED)
    else:
        log.debug("the error's origin", exc_info=error)
    return _report(failure, as_json)


def _report(failure: Failure, as_json: bool) -> int:
    if not as_json:
        output.complain(failure.message)
    elif not output.has_printed():
        output.print_document(failure.as_json())
    return failure.status
