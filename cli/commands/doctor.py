"""`holdfast doctor`."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import get_args

import typer

from cli.examination import Colour, Finding, examine
from cli.failures import REFUSED
from cli.formatting import status, table
from cli.logs import configure
from cli.opening import refuse_missing, settings
from cli.options import Json, single
from cli.output import console, note, show
from registry.clock import utc_now
from registry.database import Registry

app = single()
COLOURS: tuple[Colour, ...] = get_args(Colour)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Examine everything: registry, index, model, tenants, sources, alerts. Exit status 1 if one is red."""
    found = settings()
    configure(found, spoken=False)
    refuse_missing(found)
    registry = Registry(found.registry)
    try:
        findings = examine(registry, found, utc_now())
    finally:
        registry.close()
    counts = Counter(finding.colour for finding in findings)
    healthy = not counts["red"]
    document = {
        "healthy": healthy,
        "counts": {colour: counts[colour] for colour in COLOURS},
        "findings": [asdict(finding) for finding in findings],
    }
    show(as_json, document, lambda: _print(findings, counts))
    if not healthy:
        raise typer.Exit(REFUSED)


def _print(findings: list[Finding], counts: Counter[Colour]) -> None:
    rows = [(status(f.colour), f.subject, f.check, f.summary) for f in findings]
    console().print(table(("", "~what", "check", "~"), rows))
    said = ", ".join(f"{counts[colour]} {colour}" for colour in COLOURS if counts[colour])
    note(said, "red" if counts["red"] else "dim")
