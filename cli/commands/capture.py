"""`holdfast capture`."""

from __future__ import annotations

import logging
import threading
from dataclasses import asdict
from typing import Annotated, Any

import typer

from cli.failures import REFUSED
from cli.formatting import plural, short, status, table
from cli.logs import configure
from cli.opening import mirrors, opened_registry, settings
from cli.options import Json, single
from cli.output import console, note, show
from cli.stopping import stopped_by_signals
from pipelines.capture.capturer import Captured, Capturer
from pipelines.capture.continuous import ContinuousCapture
from registry import sources, tenants
from registry.database import Registry
from registry.settings import Settings

app = single()
log = logging.getLogger("holdfast.capture")
SHARED = "(shared)"


@app.command()
def capture(
    once: Annotated[
        bool, typer.Option("--once", help="Look at every source once and say what came of it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run the capturer alone: read every source again and again, until Ctrl-C."""
    found = settings()
    configure(found, spoken=not once)
    with opened_registry(found) as registry:
        capturer = Capturer(registry, mirrors(found), found.lease_seconds)
        if once:
            _once(registry, capturer, as_json)
            return
        with stopped_by_signals() as stop:
            totals = _again_and_again(capturer, found, stop)
    show(as_json, totals, lambda: note(f"captured {plural(totals['commits'], 'commit')}"))


def _once(registry: Registry, capturer: Capturer, as_json: bool) -> None:
    with registry.read() as session:
        names = {tenant.id: tenant.name for tenant in tenants.present(session)}
        found = [(source.id, names.get(source.tenant_id or "")) for source in sources.present(session)]
    # A source's name is its tenant's: several tenants may have one of the same name.
    captured = [(tenant, capturer.catch_up(source)) for source, tenant in found]

    def render() -> None:
        columns = (
            "source",
            "tenant",
            "state",
            "#commits",
            "#upserts",
            "#deletes",
            "?#unreadable",
            "#held",
            "?position",
        )
        console().print(table(columns, [_line(*pair) for pair in captured]) if captured else "no sources yet")
        for tenant, one in captured:
            if one.error:
                note(f"{tenant or SHARED}: {one.source}: {one.error}", "red")

    show(as_json, [{**asdict(one), "tenant": tenant} for tenant, one in captured], render)
    if any(one.error for _, one in captured):
        raise typer.Exit(REFUSED)


def _line(tenant: str | None, one: Captured) -> tuple[object, ...]:
    state = status("failing" if one.error else "busy elsewhere" if one.busy else "healthy")
    counts = (one.commits, one.upserts, one.deletes, one.unreadable, len(one.held))
    return (one.source, tenant or SHARED, state, *counts, short(one.position) if one.position else None)


def _again_and_again(capturer: Capturer, settings: Settings, stop: threading.Event) -> dict[str, Any]:
    totals = {"looks": 0, "commits": 0, "upserts": 0, "deletes": 0}

    def say(one: Captured) -> None:
        totals["looks"] += 1
        for name in ("commits", "upserts", "deletes"):
            totals[name] += getattr(one, name)
        _say(one)

    log.info("capturing every %g s", settings.capture_interval)
    ContinuousCapture(capturer, settings.capture_interval, say).run(stop)
    return totals


def _say(one: Captured) -> None:
    if one.commits:
        changes = f"{plural(one.upserts, 'upsert')}, {plural(one.deletes, 'deletion')}"
        log.info("%s: %s (%s), now at %s", one.source, plural(one.commits, "commit"), changes, one.position)
    if one.held:
        log.warning(
            "%s: %s held: a person must confirm or reject", one.source, plural(len(one.held), "commit")
        )
