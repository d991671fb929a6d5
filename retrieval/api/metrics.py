"""What Prometheus sees. Tenants are labels by id; no query and no text is ever one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from registry import generations, sources, tenants
from registry.clock import Clock
from registry.database import Registry
from registry.schema import Alert, CanaryRun, Tenant, TenantCommit

BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)


class ApiMetrics:
    """The metrics of one API process, in a registry of their own."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self.collectors = CollectorRegistry()
        self.searches = Counter(
            "holdfast_searches", "Searches by tenant, mode and outcome.", ["tenant", "mode", "outcome"],
            registry=self.collectors,
        )  # fmt: skip
        self.seconds = Histogram(
            "holdfast_search_seconds", "Duration of a search by stage.", ["stage"],
            buckets=BUCKETS, registry=self.collectors,
        )  # fmt: skip
        self.below_floor = Counter(
            "holdfast_searches_below_floor", "Answers below the result floor.", ["tenant"],
            registry=self.collectors,
        )  # fmt: skip
        self.collectors.register(RegistryCollector(registry, clock))


class RegistryCollector(Collector):
    """Gauges read from the registry at each scrape: documents, chunks, ages, recall, failures."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock

    def describe(self) -> list[GaugeMetricFamily]:
        return list(self._families().values())

    def _families(self) -> dict[str, GaugeMetricFamily]:
        names = {
            "live_generation": "Number of the live generation.",
            "documents": "Documents of the live generation.",
            "quarantined_documents": "Documents in quarantine.",
            "chunks": "Chunks of the live generation.",
            "generation_age_seconds": "Seconds since the live generation was published.",
            "canary_recall": "Recall of the newest asking of canaries.",
            "ingestion_held": "1 while ingestion is held after a rollback.",
            "held_commits": "Commits whose deletions wait for a person.",
        }
        families = {n: GaugeMetricFamily(f"holdfast_{n}", text, labels=["tenant"]) for n, text in names.items()}
        families["source_up"] = GaugeMetricFamily(
            "holdfast_source_up", "1 where the newest look at a source succeeded.", labels=["source"]
        )
        families["source_age_seconds"] = GaugeMetricFamily(
            "holdfast_source_age_seconds", "Seconds since the last good look at a source.", labels=["source"]
        )
        families["alerts_undelivered"] = GaugeMetricFamily(
            "holdfast_alerts_undelivered", "Alerts that wait for delivery.", labels=[]
        )
        return families

    def collect(self) -> Iterator[GaugeMetricFamily]:
        families = self._families()
        now = self._clock()
        with self._registry.read() as session:
            for tenant in tenants.active(session):
                self._collect_tenant(session, families, tenant, now)
            for source in sources.present(session):
                families["source_up"].add_metric([source.name], 0 if source.error else 1)
                if source.checked_at is not None:
                    age = (now - source.checked_at).total_seconds()
                    families["source_age_seconds"].add_metric([source.name], age)
            waiting = session.scalar(select(func.count()).where(Alert.delivered_at.is_(None)))
            families["alerts_undelivered"].add_metric([], waiting or 0)
        yield from families.values()

    def _collect_tenant(
        self, session: Session, families: dict[str, GaugeMetricFamily], tenant: Tenant, now: datetime
    ) -> None:
        values: dict[str, float] = {"ingestion_held": 0 if tenant.held_at is None else 1}
        live = generations.live(session, tenant.id)
        if live is not None:
            values |= {
                "live_generation": live.number,
                "documents": live.documents,
                "quarantined_documents": live.quarantined,
                "chunks": live.chunks,
                "generation_age_seconds": (now - (live.published_at or live.created_at)).total_seconds(),
            }
        recall = session.scalar(
            select(CanaryRun.recall)
            .where(CanaryRun.tenant_id == tenant.id)
            .order_by(CanaryRun.id.desc())
            .limit(1)
        )
        if recall is not None:
            values["canary_recall"] = recall
        held = select(func.count()).where(TenantCommit.scope == tenant.id, TenantCommit.hold == "held")
        values["held_commits"] = session.scalar(held) or 0
        for name, value in values.items():
            families[name].add_metric([tenant.id], value)
