"""What `holdfast doctor` looks at: the registry, the index, the model, every tenant, the alerts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import takewhile
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cli.erasure import leftovers
from cli.formatting import build_progress, plural, size, span, when, without_password
from cli.overview import TenantOverview, index_bytes, overview
from pipelines.capture.health import in_quarantine, quarantine
from pipelines.ownership import OwnedSource, owned_sources
from registry import builds, changelog, contracts, generations, models, slots, sources, tenants, verdicts
from registry.database import Registry
from registry.errors import SchemaOutdated
from registry.schema import Alert, EmbeddingModel, Tenant
from registry.settings import Settings
from retrieval.encoder.identity import ModelIdentity, identify
from retrieval.errors import GenerationNotServed, RetrievalError
from retrieval.index.store import GenerationRef, GenerationStore
from retrieval.opening import open_store

Colour = Literal["green", "yellow", "red"]
# The delivering sensor runs every 15 seconds: what is older waits for somebody to run it.
LATE_ALERT_SECONDS = 300.0
JUDGED = ("live", "retained", "retired", "rejected")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look said. Red is broken or waits for a person, yellow should be known."""

    subject: str
    check: str
    colour: Colour
    summary: str


@dataclass(frozen=True, slots=True)
class _Index:
    """The index, and the registry to ask again: what was served when the look began may be removed by now."""

    registry: Registry
    store: GenerationStore

    def fault(self, tenant: Tenant, number: int) -> str:
        """What keeps a generation from being opened, with every file as in its manifest; empty where nothing does.

        Raises GenerationNotServed where it is no longer served.
        """
        try:
            self.store.open(GenerationRef(tenant.id, number)).close()
        except RetrievalError as error:
            with self.registry.read() as session:
                if generations.is_served(session, tenant.id, number):
                    return str(error)
            raise GenerationNotServed(f"generation {number} was published over while this looked") from error
        return ""


def examine(registry: Registry, settings: Settings, now: datetime) -> list[Finding]:
    """Look at everything. Raises SchemaOutdated only where nothing else can be looked at."""
    schema = _schema(registry)
    if schema.colour == "red":
        return [schema]
    found = [schema, _index(settings)]
    store = open_store(settings)
    try:
        with registry.read() as session:
            found += [_model(session, settings), *_erasures(registry, settings), *_system(session, now)]
            for tenant in tenants.present(session):
                found += _tenant(session, settings, _Index(registry, store), tenant, now)
            for source in owned_sources(session, partial(index_bytes, settings), now):
                found += _source(session, source)
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


def _erasures(registry: Registry, settings: Settings) -> Iterator[Finding]:
    left = leftovers(registry, settings)
    if left:
        said = f"an erasure was cut off: files of {plural(len(left.tenants), 'tenant')} and "
        yield Finding(
            "index", "erasures", "red", f"{said}{plural(len(left.mirrors), 'mirror')} are left: holdfast init"
        )


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


def _tenant(
    session: Session, settings: Settings, index: _Index, tenant: Tenant, now: datetime
) -> Iterator[Finding]:
    name = tenant.name
    seen = overview(session, tenant, settings, now)
    yield _live(index, tenant, seen)
    yield from _retained(session, index, tenant)
    yield Finding(name, "fresh", "green" if seen.fresh else "red", seen.freshness)
    if seen.held:
        yield Finding(name, "ingestion", "red", f"held: {seen.held_reason}; holdfast resume --tenant {name}")
    if seen.held_deletions:
        waiting = f"deletions of {plural(seen.held_deletions, 'commit')} wait"
        said = f"{waiting} for a person: holdfast deletion list --tenant {name}"
        yield Finding(name, "deletions", "red", said)
    yield from _rejected(session, tenant, now)
    yield from _quarantine(session, tenant)
    yield from _build(session, tenant, now)
    if seen.live_generation and not seen.canaries:
        yield Finding(name, "canaries", "yellow", f"unguarded: holdfast canary import FILE --tenant {name}")


def _live(index: _Index, tenant: Tenant, seen: TenantOverview) -> Finding:
    if tenant.status != "active":
        return Finding(seen.tenant, "live", "yellow", f"the tenant is {tenant.status}")
    if seen.live_generation is None:
        return Finding(
            seen.tenant, "live", "yellow", f"nothing published: holdfast ingest --tenant {seen.tenant}"
        )
    try:
        fault = index.fault(tenant, seen.live_generation)
    except GenerationNotServed as error:
        return Finding(seen.tenant, "live", "yellow", f"{error}: look again")
    if fault:
        return Finding(seen.tenant, "live", "red", fault)
    counts = f"{plural(seen.documents, 'document')}, {plural(seen.chunks, 'chunk')}"
    said = f"generation {seen.live_generation}, {counts}, {size(seen.index_bytes)} on disk, files intact"
    return Finding(seen.tenant, "live", "green", said)


def _retained(session: Session, index: _Index, tenant: Tenant) -> Iterator[Finding]:
    """Retained generations that could not be rolled back to: an index that does not open."""
    for generation in generations.of_tenant(session, tenant.id, ["retained"]):
        with suppress(GenerationNotServed):
            if fault := index.fault(tenant, generation.number):
                yield Finding(tenant.name, "retained", "red", fault)


def _rejected(session: Session, tenant: Tenant, now: datetime) -> Iterator[Finding]:
    """The newest candidates, where the gate refused them and nothing was published since."""
    judged = generations.of_tenant(session, tenant.id, JUDGED)
    refused = list(takewhile(lambda generation: generation.status == "rejected", judged))
    if not refused:
        return
    newest, since = refused[0], refused[-1].created_at
    found = verdicts.of_generation(session, tenant.id, newest.number)
    red = ", ".join(verdict.name for verdict in found if verdict.holds_back) or "its checks"
    many = f" and {plural(len(refused) - 1, 'candidate')} before it" if len(refused) > 1 else ""
    said = f"generation {newest.number}{many} rejected by {red}"
    age = f"since {when(since)} UTC ({span((now - since).total_seconds())}) nothing was published"
    then = f"holdfast generations --tenant {tenant.name}; holdfast ingest --tenant {tenant.name} says what is red"
    yield Finding(tenant.name, "candidate", "red", f"{said}; {age}: {then}")


def _quarantine(session: Session, tenant: Tenant) -> Iterator[Finding]:
    found = quarantine(session, tenant.id)
    failed, dropped = sum(each.failed for each in found), sum(each.dropped for each in found)
    if not failed and not dropped:
        return
    allowed = contracts.current(session, tenant.id).quarantine_share
    too_many = in_quarantine(session, tenant.id)
    shares = ", ".join(f"{share:.0%} of source {name}" for name, share in too_many.items())
    said = f"{plural(failed, 'document')} in quarantine" + (f", {dropped} dropped" if dropped else "")
    said += f" ({shares}, allowed {allowed:.0%})" if shares else f" (allowed {allowed:.0%})"
    colour: Colour = "red" if too_many else ("yellow" if failed else "green")
    yield Finding(
        tenant.name, "quarantine", colour, f"{said}: holdfast deadletter list --tenant {tenant.name}"
    )


def _build(session: Session, tenant: Tenant, now: datetime) -> Iterator[Finding]:
    """A build that takes its time, or that was cut off."""
    for build in builds.under_way(session, now, tenant.id):
        what = f"{build.kind} ({build.reason})" if build.reason else build.kind
        yield Finding(tenant.name, "build", "yellow", f"{what}: {build_progress(build)}")


def _source(session: Session, owned: OwnedSource) -> Iterator[Finding]:
    subject = f"{owned.tenant}: source {owned.name}" if owned.tenant else f"source {owned.name}"
    found = sources.find(session, owned.name, owned.tenant_id)
    error, slot = found.error, slots.of_source(session, found.id)
    if error:
        yield Finding(subject, "readable", "red", f"failing: {without_password(error)}")
    if slot is not None:
        danger = slots.danger(slot)
        held = f"{slot.name} retains {size(slot.retained_bytes)} of WAL at the source"
        yield Finding(subject, "slot", "red" if danger else "green", danger or held)
    if owned.orphaned:
        yield Finding(subject, "orphaned", "yellow", f"orphaned: {owned.why}; it costs {_cost(owned)}")
    if not error and not owned.orphaned:
        yield Finding(subject, "readable", "green", "read at its last look")


def _cost(owned: OwnedSource) -> str:
    cost = owned.cost
    return (
        f"{plural(cost.documents, 'document')}, {plural(cost.chunks, 'chunk')}, "
        f"{size(cost.content_bytes)} of content, {size(cost.index_bytes)} of index, "
        f"{plural(cost.embedded_texts, 'text')} embedded in {span(cost.embedding_seconds)} in 30 days"
    )
