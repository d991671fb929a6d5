"""`holdfast ingest`."""

from __future__ import annotations

from typing import Any

import typer
from rich.text import Text

from cli.failures import REFUSED
from cli.formatting import plural, short, status, table
from cli.ingesting import ingest as run_ingest
from cli.logs import configure
from cli.opening import opened_registry, settings
from cli.options import Json, TenantOption, single
from cli.output import console, note, show, warn
from cli.progress import shown_progress
from cli.red_canaries import print_red_canaries

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
    """An outcome for people: the status, then what was held or refused and what to do, then the numbers."""
    line = Text.assemble((outcome["tenant"], "bold"), " ", status(outcome["status"]))
    if outcome["generation"]:
        stays = " stays live" if outcome["status"] == "held" else ""
        line.append(f", generation {outcome['generation']}{stays}, {outcome['seconds']:.1f} s")
    if not outcome["quiescent"]:
        line.append(" (pinned while writers were busy)", style="yellow")
    console().print(line)
    _print_held(outcome)
    if outcome["status"] == "rejected":
        _print_refused(outcome)
    if outcome["status"] == "held":
        return  # all other numbers are of what was live before
    if outcome["documents"]["live"] or outcome["documents"]["deleted"]:
        console().print(_counts(outcome))
    if outcome["checks"] and outcome["status"] != "rejected":
        console().print(_checks(outcome["checks"]))
    if outcome["reason"] and outcome["status"] in ("published", "unchanged"):
        note(outcome["reason"])


def _print_held(outcome: dict[str, Any]) -> None:
    tenant = outcome["tenant"]
    if outcome["held"]:
        for text in _held_deletions(outcome):
            console().print(Text(text, "yellow"))
        note(f"Look:     holdfast deletion list --tenant {tenant}")
        note(f"Decide:   holdfast deletion confirm|reject --tenant {tenant}")
        note(f"Then:     holdfast ingest --tenant {tenant}")
    elif outcome["status"] == "held":
        console().print(Text(f"Ingestion is held: {outcome['reason']}. Nothing was built.", "yellow"))
        note(f"Release:  holdfast resume --tenant {tenant}")
        note(f"Then:     holdfast ingest --tenant {tenant}")


def _held_deletions(outcome: dict[str, Any]) -> list[str]:
    """A line for each commit that waits: what it would delete, and why it is held."""
    waiting = "Deletions wait for a person, and nothing after them is published: "
    commits = outcome.get("held_deletions", ())
    if not commits:
        places = ", ".join(f"{name} @ {short(p[0])}" for name, p in outcome["held"].items() if p)
        return [waiting + places]
    return [
        f"{waiting if number == 0 else ''}{held['source']} @ {short(held['position'])} deletes "
        f"{held['deletes']:,} of its {plural(held['of'], 'document')}; "
        f"more than {held['allowed_share']:.0%} at once are held"
        for number, held in enumerate(commits)
    ]


def _print_refused(outcome: dict[str, Any]) -> None:
    """What said no comes first; the numbers of what was not published are of less interest."""
    refusing = [check for check in outcome["checks"] if check["blocking"] and not check["passed"]]
    console().print(_checks(outcome["checks"]))
    print_red_canaries(one for check in refusing for one in check.get("red_canaries", ()))
    if outcome["reason"] and not any(check["summary"] in outcome["reason"] for check in refusing):
        note(outcome["reason"])
    tenant = outcome["tenant"]
    note("What was live goes on serving. Change what the check is about, then ingest again:")
    note("the documents at their source,")
    note(
        f"the canaries:  holdfast canary list --tenant {tenant}, holdfast canary import FILE --tenant {tenant} "
        "(--replace: in the place of all)"
    )
    note(f"the contract:  holdfast contract set --tenant {tenant} KEY=VALUE")


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
    places = ", ".join(f"{name} @ {short(position)}" for name, position in outcome["sources"].items())
    return table(columns, rows, f"{outcome['embedded']:,} embedded; {places}" if places else "")


def _checks(checks: list[dict[str, Any]]) -> Any:  # noqa: ANN401
    marks = {True: Text("✔", "green"), False: Text("✘", "red"), None: Text("!", "yellow")}
    rows = [
        (marks[check["passed"] or (False if check["blocking"] else None)], check["name"], check["summary"])
        for check in checks
    ]
    return table(("", "check", "~"), rows)
