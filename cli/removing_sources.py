"""Removing a source: its documents hidden at once, and what capture made at the source removed there."""

from __future__ import annotations

import time

from cli.formatting import without_password
from cli.opening import mirrors
from cli.source_traces import may_be_removed
from pipelines.errors import SourceError
from pipelines.sources.kinds import dispose_source
from registry import leases, sources
from registry.clock import utc_now
from registry.crash_points import crash_point
from registry.database import Registry
from registry.errors import LeaseHeld
from registry.schema import Source
from registry.settings import Settings

PAUSE = 0.1


def remove_source(registry: Registry, settings: Settings, source: Source) -> list[str]:
    """Take the source from the capturer for good, then clean up at the source; gives what a person must still do.

    A look that is under way is waited for, for as long as a lease lasts; one that lasts longer commits nothing more.
    Raises NotFound where it was removed meanwhile.
    """
    _take_away(registry, settings, source)
    crash_point("source:removed")
    return _clean_up(settings, source) if _unneeded(registry, source) else []


def resume_removal(
    registry: Registry, settings: Settings, name: str, tenant_id: str | None
) -> tuple[Source, list[str]] | None:
    """Clean up again at the newest removed source of this name: its removal may have been cut off.

    None where there is none that left something, or where another source has that by now.
    """
    with registry.read() as session:
        source = sources.newest_removed(session, name, tenant_id)
    if source is None or not _unneeded(registry, source):
        return None
    return source, _clean_up(settings, source)


def remove_traces(registry: Registry, settings: Settings, tenant_id: str) -> list[str]:
    """Before a tenant is erased: what its sources made elsewhere, which nothing will know of afterwards.

    Nothing is waited for: a capture of theirs that is under way loses its lease. Gives what a person must still do.
    """
    with registry.read() as session:
        found = [source for source in sources.of_tenant(session, tenant_id) if source.tenant_id == tenant_id]
    left: list[str] = []
    for source in found:
        if _unneeded(registry, source, beside=tenant_id):
            with registry.write() as session:
                leases.bar(session, leases.capture_lease(source.id))
            left += _clean_up(settings, source)
    return left


def _unneeded(registry: Registry, source: Source, beside: str = "") -> bool:
    return may_be_removed(registry, source.kind, source.uri, source.options, but=source.id, beside=beside)


def _clean_up(settings: Settings, source: Source) -> list[str]:
    try:
        dispose_source(source.kind, source.uri, source.options, utc_now, mirrors(settings))
    except SourceError as error:
        return [_left_behind(source, str(error))]
    return []


def _take_away(registry: Registry, settings: Settings, source: Source) -> None:
    """Between two looks if that can be had; a look that takes longer than a lease lasts loses its lease."""
    name, holder = leases.capture_lease(source.id), leases.Holder.current(f"remove-{source.id}")
    deadline = time.monotonic() + settings.lease_seconds
    while True:
        waited_enough = time.monotonic() > deadline
        try:
            with registry.write() as session:
                sources.lock(session, source.id)
                if not waited_enough:
                    leases.acquire(session, name, holder, settings.lease_seconds, utc_now())
                sources.remove(session, source, utc_now())
                leases.bar(session, name)
        except LeaseHeld:
            time.sleep(PAUSE)
        else:
            return


def _left_behind(source: Source, error: str) -> str:
    said = f"source {source.name} is removed here, but not cleaned up at its place: {without_password(error)}"
    return f"{said}. {_remedy(source)}"


def _remedy(source: Source) -> str:
    slot, table = source.options.get("slot", ""), source.options.get("table", "")
    if slot:
        return (
            f"its replication slot keeps WAL there until somebody runs SELECT pg_drop_replication_slot('{slot}'); "
            f"and DROP PUBLICATION {source.options.get('publication', slot)}"
        )
    if source.kind == "sqlite":
        drops = (f'DROP TRIGGER "_holdfast_{table}_{event}";' for event in ("insert", "update", "delete"))
        return f"its triggers fill _holdfast_changelog there until somebody runs {' '.join(drops)}"
    return "remove by hand what capture made there"
