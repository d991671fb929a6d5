"""What Prometheus sees. Tenants are labels by id; no query and no text is ever one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from registry import builds, dead_letters, slots
from registry.clock import Clock
from registry.database import Registry
from registry.schema import Alert, CanaryRun, Generation, ReplicationSlot, Source, Tenant, TenantCommit

BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)

BY_TENANT = {
    "live_generation": "Number of the live generation.",
    "documents": "Documents of the live generation.",
    "quarantined_documents": "Documents in quarantine.",
    "chunks": "Chunks of the live generation.",
    "generation_age_seconds": "Seconds since the live generation was published.",
    "canary_recall": "Recall of the newest asking of the live generation's canaries.",
    "ingestion_held": "1 while ingestion is held after a rollback.",
    "held_commits": "Commits whose deletions wait for a person.",
}
BY_SOURCE = {
    "source_up": "1 where the newest look at a source succeeded.",
    "source_age_seconds": "Seconds since the last good look at a source: how far capture is behind.",
    "slot_retained_bytes": "WAL that a source's replication slot holds back at its server.",
    "slot_retained_seconds": "Seconds that the oldest WAL which a slot holds back has been held.",
    "slot_safe_bytes": "WAL that may still be written before the server gives the slot up.",
    "slot_in_danger": "1 where a slot is a danger to its server, or is being given up by it.",
}

BY_LETTER = {
    "dead_letters": "Documents that could not be read or parsed, by state: waiting, retrying, dropped.",
}
# Of a build under way, or of one that was cut off and goes on with the next ingest. `kind`: first, reindex, update.
BY_BUILD = {
    "build_running": "1 while the build runs, 0 where its run died.",
    "build_done": "Units of the stage that are done: documents, texts, chunks.",
    "build_left": "Units of the stage that are left.",
    "build_rate": "Units of the stage done a second by this run.",
    "build_eta_seconds": "Seconds until the stage is done, at that rate.",
}

Families = dict[str, GaugeMetricFamily]


class ApiMetrics:
    """The metrics of one API process, in a registry of their own."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self.collectors = CollectorRegistry()
        self.requests = Counter(
            "holdfast_http_requests", "Requests by route and status.", ["route", "status"],
            registry=self.collectors,
        )  # fmt: skip
        self._searches = Counter(
            "holdfast_searches", "Searches by tenant, mode and outcome.", ["tenant", "mode", "outcome"],
            registry=self.collectors,
        )  # fmt: skip
        self._below_floor = Counter(
            "holdfast_searches_below_floor", "Answers below the result floor.", ["tenant"],
            registry=self.collectors,
        )  # fmt: skip
        self._seconds = Histogram(
            "holdfast_search_seconds", "Duration of a search by stage.", ["stage"],
            buckets=BUCKETS, registry=self.collectors,
        )  # fmt: skip
        self.collectors.register(RegistryCollector(registry, clock))

    def count(self, tenant_id: str, mode: str, outcome: str) -> None:
        """One search. `outcome`: answered, flagged, refused, rejected (a wrong request) or failed (ours)."""
        self._searches.labels(tenant_id, mode, outcome).inc()
        if outcome in ("flagged", "refused"):
            self._below_floor.labels(tenant_id).inc()

    def time(self, timings: Mapping[str, float]) -> None:
        """One answer's milliseconds by stage."""
        for stage, milliseconds in timings.items():
            self._seconds.labels(stage.removesuffix("_ms")).observe(milliseconds / 1000)


class RegistryCollector(Collector):
    """Gauges read from the registry at each scrape, in as many queries however many tenants there are."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock

    def describe(self) -> list[GaugeMetricFamily]:
        return list(_families().values())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        families = _families()
        now = self._clock()
        with self._registry.read() as session:
            active = _collect_tenants(session, families, now)
            _collect_sources(session, families, now)
            _collect_slots(session, families, now)
            _collect_letters(session, families, active)
            _collect_builds(session, families, active, now)
            waiting = session.scalar(select(func.count()).where(Alert.delivered_at.is_(None)))
        families["alerts_undelivered"].add_metric([], waiting or 0)
        yield from families.values()


def _families() -> Families:
    families = {
        name: GaugeMetricFamily(f"holdfast_{name}", text, labels=["tenant"])
        for name, text in BY_TENANT.items()
    }
    for name, text in BY_SOURCE.items():
        # Two tenants may each have a source of one name. A shared source has no tenant.
        families[name] = GaugeMetricFamily(f"holdfast_{name}", text, labels=["tenant", "source"])
    for name, text in BY_LETTER.items():
        families[name] = GaugeMetricFamily(f"holdfast_{name}", text, labels=["tenant", "source", "state"])
    for name, text in BY_BUILD.items():
        families[name] = GaugeMetricFamily(f"holdfast_{name}", text, labels=["tenant", "kind", "stage"])
    families["alerts_undelivered"] = GaugeMetricFamily(
        "holdfast_alerts_undelivered", "Alerts that wait for delivery.", labels=[]
    )
    return families


def _collect_tenants(session: Session, families: Families, now: datetime) -> set[str]:
    """Gauges of the active tenants, and their ids."""
    query = (
        select(Tenant.id, Tenant.held_at, Generation)
        .outerjoin(
            Generation, and_(Generation.tenant_id == Tenant.id, Generation.number == Tenant.live_generation)
        )
        .where(Tenant.status == "active")
        .order_by(Tenant.id)
    )
    recall, held, found = _recall(session), _held_commits(session), set()
    for tenant_id, held_at, live in session.execute(query):
        values: dict[str, float] = {
            "ingestion_held": 0 if held_at is None else 1,
            "held_commits": held.get(tenant_id, 0),
        }
        if live is not None:
            values |= _of_generation(live, now)
        if tenant_id in recall:
            values["canary_recall"] = recall[tenant_id]
        for name, value in values.items():
            families[name].add_metric([tenant_id], value)
        found.add(tenant_id)
    return found


def _of_generation(live: Generation, now: datetime) -> dict[str, float]:
    return {
        "live_generation": live.number,
        "documents": live.documents,
        "quarantined_documents": live.quarantined,
        "chunks": live.chunks,
        "generation_age_seconds": (now - (live.published_at or live.created_at)).total_seconds(),
    }


def _recall(session: Session) -> dict[str, float]:
    """By tenant, of its live generation: a candidate that the gate refused answers nobody."""
    newest = (
        select(func.max(CanaryRun.id))
        .join(Tenant, and_(Tenant.id == CanaryRun.tenant_id, Tenant.live_generation == CanaryRun.generation))
        .group_by(CanaryRun.tenant_id)
    )
    query = select(CanaryRun.tenant_id, CanaryRun.recall).where(
        CanaryRun.id.in_(newest), CanaryRun.recall.is_not(None)
    )
    return {tenant_id: recall for tenant_id, recall in session.execute(query) if recall is not None}


def _held_commits(session: Session) -> dict[str, int]:
    query = (
        select(TenantCommit.scope, func.count())
        .where(TenantCommit.hold == "held")
        .group_by(TenantCommit.scope)
    )
    return {scope: count for scope, count in session.execute(query)}  # noqa: C416 - rows are no pairs


def _collect_sources(session: Session, families: Families, now: datetime) -> None:
    query = (
        select(Source.tenant_id, Source.name, Source.error, Source.checked_at)
        .where(Source.removed_at.is_(None))
        .order_by(Source.id)
    )
    for tenant_id, name, error, checked_at in session.execute(query):
        labels = [tenant_id or "", name]
        families["source_up"].add_metric(labels, 0 if error else 1)
        if checked_at is not None:
            families["source_age_seconds"].add_metric(labels, (now - checked_at).total_seconds())


def _collect_slots(session: Session, families: Families, now: datetime) -> None:
    query = (
        select(Source.tenant_id, Source.name, ReplicationSlot)
        .join(ReplicationSlot, ReplicationSlot.source_id == Source.id)
        .where(Source.removed_at.is_(None))
        .order_by(Source.id)
    )
    for tenant_id, name, slot in session.execute(query):
        values: dict[str, float | None] = {
            "slot_retained_bytes": slot.retained_bytes,
            "slot_retained_seconds": slots.held_seconds(slot, now),
            "slot_safe_bytes": slot.safe_bytes,
            "slot_in_danger": 1 if slots.danger(slot) else 0,
        }
        for family, value in values.items():
            if value is not None:
                families[family].add_metric([tenant_id or "", name], value)


def _collect_letters(session: Session, families: Families, active: set[str]) -> None:
    for labels, count in sorted(dead_letters.counts(session).items()):
        if labels[0] in active:
            families["dead_letters"].add_metric(list(labels), count)


def _collect_builds(session: Session, families: Families, active: set[str], now: datetime) -> None:
    for build in builds.under_way(session, now):
        if build.tenant_id not in active:
            continue
        values = {
            "build_running": float(build.running),
            "build_done": build.done,
            "build_left": build.left,
            "build_rate": build.rate,
            "build_eta_seconds": build.eta_seconds,
        }
        for name, value in values.items():
            if value is not None:
                families[name].add_metric([build.tenant_id, build.kind, build.stage], value)
