"""What `holdfast doctor` looks at: the registry, the index, the model, every tenant, the alerts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cli.formatting import plural, size, span, without_password
from cli.overview import TenantOverview, orphaned, overview
from registry import changelog, contracts, generations, models, sources, tenants
from registry.database import Registry
from registry.errors import SchemaOutdated
from registry.schema import Alert, EmbeddingModel, Tenant
from registry.settings import Settings
from retrieval.encoder.identity import ModelIdentity, identify
from retrieval.errors import RetrievalError
from retrieval.index.store import GenerationRef, GenerationStore
from retrieval.opening import open_store

Colour = Literal["green", "yellow", "red"]
# The delivering sensor runs every 15 seconds: what is older waits for somebody to run it.
LATE_ALERT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look said. Red is broken or waits for a person, yellow should be known."""

    subject: str
    check: str
    colour: Colour
    summary: str


def examine(registry: Registry, settings: Settings, now: datetime) -> list[Finding]:
    """Look at everything. Raises SchemaOutdated only where nothing else can be looked at."""
    schema = _schema(registry)
    if schema.colour == "red":
        return [schema]
    found = [schema, _index(settings)]
    store = open_store(settings)
    try:
        with registry.read() as session:
            found += [_model(session, settings), *_system(session, now)]
            for tenant in tenants.present(session):
                found += _tenant(session, settings, store, tenant, now)
    finally:
        store.close()
    return found


def _schema(registry: Registry) -> Finding:
    try:
        registry.ensure_current()
    except SchemaOutdated as error:
        return Finding("registry", "schema", "red", str(error))
    address = registry.url.render_as_string(hide_password=True)
    return Finding("registry", "schema", "green", f"current, {address}")


def _index(settings: Settings) -> Finding:
    if not settings.index.is_dir():
        return Finding("index", "folder", "yellow", f"{settings.index} is not there yet")
    if not os.access(settings.index, os.R_OK | os.W_OK | os.X_OK):
        return Finding(
            "index", "folder", "red", f"{settings.index} cannot be written: look at its permissions"
        )
    stat = os.statvfs(settings.index)
    free = stat.f_bavail * stat.f_frsize
    colour: Colour = "yellow" if free < 2**30 else "green"
    return Finding("index", "folder", colour, f"{settings.index}, {size(free)} free on its disk")


def _model(session: Session, settings: Settings) -> Finding:
    """Whether the model's files are still those whose vectors are served."""
    try:
        identity = identify(settings.embedding_model)
    except RetrievalError as error:
        return Finding("model", "weights", "red", str(error))
    live = {g.model_id for t in tenants.active(session) if (g := generations.live(session, t.id)) is not None}
    served = [model for model in models.known(session) if model.id in live and model.name == identity.name]
    changed = [model for model in served if model.id != identity.id]
    if changed:
        difference = _difference(identity, changed[-1])
        said = (
            f"{identity.name} is not what live vectors are of ({difference}): searches of them are refused;"
        )
        return Finding("model", "weights", "red", f"{said} put the model back, or ingest every tenant")
    if not served:
        return Finding("model", "weights", "green", f"{identity.id}, nothing served with it yet")
    return Finding("model", "weights", "green", f"{identity.id}, its files are those that are registered")


def _difference(identity: ModelIdentity, registered: EmbeddingModel) -> str:
    names = [name for name in models.FIELDS if getattr(identity, name) != getattr(registered, name)]
    return ", ".join(names) or "id"


def _system(session: Session, now: datetime) -> Iterator[Finding]:
    waiting = list(session.scalars(select(Alert).where(Alert.delivered_at.is_(None)).order_by(Alert.id)))
    if waiting:
        age = (now - waiting[0].created_at).total_seconds()
        colour: Colour = "red" if age > LATE_ALERT_SECONDS else "yellow"
        error = f", last error: {waiting[0].error}" if waiting[0].error else ""
        said = f"{plural(len(waiting), 'alert')} undelivered, the oldest for {span(age)}{error}"
        yield Finding("alerts", "delivery", colour, said)
    else:
        total = session.scalar(select(func.count()).select_from(Alert)) or 0
        yield Finding("alerts", "delivery", "green", f"all {total} delivered")
    for label, count in sorted(changelog.waiting(session).items()):
        said = f"{plural(count, 'document')} wait for a tenant {label!r} that does not exist"
        yield Finding("tenants", "unknown", "yellow", f"{said}: holdfast tenant create {label}")
    for source in sources.present(session):
        if source.tenant_id is None:
            yield from _source_findings(
                f"source {source.name}", source.error, orphaned(source, None, None, now)
            )


def _tenant(
    session: Session, settings: Settings, store: GenerationStore, tenant: Tenant, now: datetime
) -> Iterator[Finding]:
    name = tenant.name
    seen = overview(session, tenant, settings, now)
    yield _live(store, tenant, seen)
    yield Finding(name, "fresh", "green" if seen.fresh else "red", seen.freshness)
    if seen.held:
        yield Finding(name, "ingestion", "red", f"held: {seen.held_reason}; holdfast resume --tenant {name}")
    if seen.held_deletions:
        commits = plural(seen.held_deletions, "commit")
        said = f"{commits} wait for a person: holdfast deletion list --tenant {name}"
        yield Finding(name, "deletions", "red", said)
    if seen.quarantined:
        yield _quarantine(session, tenant, seen)
    if seen.live_generation and not seen.canaries:
        yield Finding(name, "canaries", "yellow", f"unguarded: holdfast canary import FILE --tenant {name}")
    contract = contracts.current(session, tenant.id)
    for source in sources.of_tenant(session, tenant.id):
        if source.tenant_id is not None:
            reason = orphaned(source, tenant, contract, now)
            yield from _source_findings(f"{name}: source {source.name}", source.error, reason)


def _live(store: GenerationStore, tenant: Tenant, seen: TenantOverview) -> Finding:
    if tenant.status != "active":
        return Finding(seen.tenant, "live", "yellow", f"the tenant is {tenant.status}")
    if seen.live_generation is None:
        return Finding(
            seen.tenant, "live", "yellow", f"nothing published: holdfast ingest --tenant {seen.tenant}"
        )
    try:
        # Opening compares every file with the manifest.
        store.open(GenerationRef(tenant.id, seen.live_generation)).close()
    except RetrievalError as error:
        return Finding(seen.tenant, "live", "red", str(error))
    counts = f"{plural(seen.documents, 'document')}, {plural(seen.chunks, 'chunk')}"
    said = f"generation {seen.live_generation}, {counts}, {size(seen.index_bytes)} on disk, files intact"
    return Finding(seen.tenant, "live", "green", said)


def _quarantine(session: Session, tenant: Tenant, seen: TenantOverview) -> Finding:
    share = seen.quarantined / (seen.documents + seen.quarantined)
    allowed = contracts.current(session, tenant.id).quarantine_share
    said = f"{plural(seen.quarantined, 'document')} in quarantine ({share:.0%}, allowed {allowed:.0%})"
    return Finding(seen.tenant, "quarantine", "red" if share > allowed else "yellow", said)


def _source_findings(subject: str, error: str, orphan: str) -> Iterator[Finding]:
    if error:
        yield Finding(subject, "readable", "red", f"failing: {without_password(error)}")
    if orphan:
        yield Finding(subject, "orphaned", "yellow", f"orphaned: {orphan}")
    if not error and not orphan:
        yield Finding(subject, "readable", "green", "read at its last look")
