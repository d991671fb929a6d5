"""`holdfast ingest`."""

from __future__ import annotations

from typing import Any

import typer
from rich.text import Text

from cli.failures import REFUSED
from cli.formatting import short, status, table
from cli.ingesting import ingest as run_ingest
from cli.logs import configure
from cli.opening import opened_registry, settings
from cli.options import Json, TenantOption, single
from cli.output import console, note, show, warn
from cli.progress import shown_progress

app = single()


@app.command()
def ingest(tenant: TenantOption, as_json: Json = False) -> None:
    """Capture what changed, build the next generation beside the live one, check it, and publish it.

    Exit status 1 where it was not published: a check refused it, deletions or a rollback hold it back, or
    the run failed. The generation that was live stays live.
    """
    found = settings()
    configure(found, spoken=False)
    with opened_registry(found) as registry, shown_progress(tenant) as progress:
        ingested = run_ingest(registry, found, tenant, progress)
    for source in ingested.unreadable:
        warn(f"source {source}")
    show(as_json, ingested.outcome, lambda: _print(ingested.outcome))
    if not ingested.accepted:
        raise typer.Exit(REFUSED)


def _print(outcome: dict[str, Any]) -> None:
    print_outcome(outcome)
    if outcome["status"] == "published":
        if quarantined := outcome["documents"]["quarantined"]:
            listed = f"holdfast deadletter list --tenant {outcome['tenant']}"
            warn(f"{quarantined} of the documents are in quarantine: {listed}")
        note(f"Next: holdfast search QUERY --tenant {outcome['tenant']}")


def print_outcome(outcome: dict[str, Any]) -> None:
    """An outcome for people: the status, what changed, what the checks said, what to do next."""
    line = Text.assemble((outcome["tenant"], "bold"), " ", status(outcome["status"]))
    if outcome["generation"]:
        line.append(f", generation {outcome['generation']}, {outcome['seconds']:.1f} s")
    if not outcome["quiescent"]:
        line.append(" (pinned while writers were busy)", style="yellow")
    console().print(line)
    if outcome["status"] != "unchanged" or outcome["generation"]:
        console().print(_counts(outcome))
    if outcome["checks"]:
        console().print(_checks(outcome["checks"]))
    _advise(outcome)


def _counts(outcome: dict[str, Any]) -> Any:  # noqa: ANN401 - something that rich prints
    documents, chunks = outcome["documents"], outcome["chunks"]
    columns = ("", "#live", "#added", "#changed", "#gone", "#quarantined")
    rows: list[tuple[Any, ...]] = [
        (
            "documents",
            documents["live"],
            documents["added"],
            documents["changed"],
            documents["deleted"],
            documents["quarantined"],
        ),
        ("chunks", chunks["live"], chunks["added"], None, chunks["removed"], None),
    ]
    made = table(columns, rows)
    made.caption_justify, made.caption_style = "left", "dim"
    places = ", ".join(f"{name} @ {short(position)}" for name, position in outcome["sources"].items())
    made.caption = f"{outcome['embedded']:,} embedded; {places}" if places else None
    return made


def _checks(checks: list[dict[str, Any]]) -> Any:  # noqa: ANN401
    marks = {True: Text("✔", "green"), False: Text("✘", "red"), None: Text("!", "yellow")}
    rows = [
        (marks[check["passed"] or (False if check["blocking"] else None)], check["name"], check["summary"])
        for check in checks
    ]
    return table(("", "check", ""), rows)


def _advise(outcome: dict[str, Any]) -> None:
    tenant, reason = outcome["tenant"], outcome["reason"]
    if outcome["status"] == "rejected":
        note("What was live goes on serving. Look at the red check; change the documents, the canaries")
        note(f"(holdfast canary import) or the contract (holdfast contract set -t {tenant}); ingest again.")
    elif outcome["held"]:
        positions = ", ".join(f"{name} @ {short(p[0])}" for name, p in outcome["held"].items() if p)
        note(f"Deletions wait for a person ({positions}): holdfast deletion list --tenant {tenant}", "yellow")
    elif outcome["status"] == "held":
        note(f"Ingestion is held: {reason}. holdfast resume --tenant {tenant} releases it.", "yellow")
    elif reason:
        note(reason)
