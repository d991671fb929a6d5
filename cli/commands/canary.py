"""`holdfast canary …`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.orm import Session

from canaries.asking import known_documents
from canaries.daily import DailyResult, ask_today
from canaries.importing import read_canaries
from cli.failures import REFUSED
from cli.formatting import plural, status, table
from cli.logs import configure
from cli.opening import opened_registry, settings
from cli.options import Json, TenantOption, commands
from cli.output import console, note, show, warn
from cli.red_canaries import print_red_canaries
from pipelines.alerts.delivery import deliver_all
from registry import canaries, generations, tenants
from registry.canaries import Question
from registry.clock import utc_now
from retrieval.opening import open_retrieval

app = commands("Known answers: questions and the documents that must be found for them.")


@app.callback()
def quietly() -> None:
    configure(settings(), spoken=False)


@app.command("import")
def import_canaries(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help='JSON Lines of {"query": …, "relevant": \\[document keys]}.'),
    ],
    tenant: TenantOption,
    replace: Annotated[bool, typer.Option("--replace", help="In the place of all that there are.")] = False,
    as_json: Json = False,
) -> None:
    """Add canaries from a file; one that asks the same is replaced. The next ingest judges by them."""
    questions = read_canaries(file)
    with opened_registry() as registry, registry.write() as session:
        owner = tenants.find(session, tenant)
        write = canaries.replace if replace else canaries.merge
        written = write(session, owner.id, questions, utc_now())
        total = len(canaries.of_tenant(session, owner.id))
        absent = _absent(session, owner.id, questions)
    if absent:
        warn(
            f"{len(absent)} of them ask for documents that are not served now, such as {absent[0]!r}: "
            f"holdfast document list --tenant {owner.name} shows the keys"
        )
    document = {
        "tenant": owner.name,
        "imported": written,
        "canaries": total,
        "replaced": replace,
        "absent": absent,
    }
    said = f"{plural(written, 'canary').replace('canarys', 'canaries')} imported, {total} in all"
    show(as_json, document, lambda: console().print(f"[bold]{owner.name}[/bold]: {said}"))


def _absent(session: Session, tenant_id: str, questions: list[Question]) -> list[str]:
    """A document of each canary that has none in the live generation, and none that was deleted."""
    live = generations.live(session, tenant_id)
    if live is None:
        return []
    known = known_documents(session, tenant_id, live.number)
    return [q.relevant[0] for q in questions if known.of(q) and not known.is_covered(q)]


@app.command("list")
def list_canaries(tenant: TenantOption, as_json: Json = False) -> None:
    """A tenant's canaries: every question, and the documents that answer it."""
    with opened_registry() as registry, registry.read() as session:
        found = canaries.of_tenant(session, tenants.find(session, tenant).id)

    def render() -> None:
        console().print(table(("~query", "~relevant"), [(q.query, ", ".join(q.relevant)) for q in found]))
        note(f"{len(found)} in all")

    show(as_json, [asdict(question) for question in found], render)


@app.command()
def run(
    tenant: TenantOption,
    everything: Annotated[bool, typer.Option("--all", help="Ask all of them, not the day's sample.")] = False,
    as_json: Json = False,
) -> None:
    """Ask the day's canaries of the live generation. Exit status 1 where that is not green."""
    found = settings()
    with opened_registry(found) as registry, registry.read() as session:
        owner = tenants.find_active(session, tenant)
    retrieval = open_retrieval(found)
    try:
        result = ask_today(retrieval.registry, retrieval.searcher, owner.id, utc_now, everything)
        deliver_all(retrieval.registry, utc_now)
    finally:
        retrieval.close()
    show(as_json, asdict(result), lambda: print_result(result))
    if not result.passed:
        raise typer.Exit(REFUSED)


def print_result(result: DailyResult) -> None:
    """The day's canaries for people."""
    columns = ("tenant", "status", "?#generation", "#asked", "?#excused", "#recall", "#MRR", "#lost")
    numbers = [f"{value:.3f}" if value is not None else None for value in (result.recall, result.mrr)]
    counts = (result.generation, result.queries, result.excused)
    row = (result.tenant, status(result.status), *counts, *numbers, len(result.lost))
    console().print(table(columns, [row]))
    for fault in result.faults:
        note(fault, "red")
    print_red_canaries(result.red_canaries)
    if result.status == "unguarded":
        note(f"No canary was asked: holdfast canary import FILE --tenant {result.tenant}", "yellow")
    if result.status == "unpublished":
        note(f"Nothing is published yet: holdfast ingest --tenant {result.tenant}", "yellow")
    if result.rolled_back_to is not None:
        note(
            f"rolled back to generation {result.rolled_back_to}, as the contract says; ingestion is held",
            "yellow",
        )
