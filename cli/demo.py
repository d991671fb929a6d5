"""The demo's tenants: built from the examples where they are not there yet, each with a key of its own."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canaries.daily import DailyResult, ask_today
from canaries.importing import read_canaries
from cli.adding_sources import NewSource, add_source
from cli.demo_sources import build_git_repository, build_wiki_database
from cli.errors import DemoSourceError
from cli.home import initialise
from cli.ingesting import ingest
from cli.opening import opened_registry
from cli.output import warn
from cli.partitions import synchronise_partitions
from cli.progress import shown_progress
from registry import canaries, keys, sources, tenants
from registry.clock import utc_now
from registry.contract import Contract
from registry.database import Registry
from registry.errors import NotFound
from registry.schema import Tenant
from registry.settings import Settings
from retrieval.opening import open_retrieval

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """One example tenant: its source and how that is built, its canaries, a question that it can answer."""

    tenant: str
    owner: str
    source: str
    kind: str
    place: str
    options: Mapping[str, str]
    build: Callable[[Path, Path], None]
    examples: str
    question: str


@dataclass(frozen=True, slots=True)
class DemoTenant:
    """A tenant that is ready. `outcome` and `canaries` are None where it was ingested before."""

    name: str
    id: str
    key: str
    question: str
    accepted: bool
    outcome: dict[str, Any] | None
    canaries: DailyResult | None


PLANS = (
    DemoPlan(
        tenant="northwind-rail",
        owner="handbook@northwind-rail.example",
        source="handbook",
        kind="git",
        place="northwind-rail",
        options={"branch": "main"},
        build=build_git_repository,
        examples="docs",
        question="how thin may a brake disc become before the wheelset is changed?",
    ),
    DemoPlan(
        tenant="harbor-clinic",
        owner="wiki@harbor-clinic.example",
        source="wiki",
        kind="sqlite",
        place="harbor-clinic.sqlite3",
        options={
            "table": "pages",
            "key": "slug",
            "title": "title",
            "body": "body",
            "url": "url",
            "metadata": "category,updated_by",
        },
        build=build_wiki_database,
        examples="pages.jsonl",
        question="a patient comes twenty minutes late: do we still see them?",
    ),
)


def build_demo(settings: Settings) -> list[DemoTenant]:
    """The example tenants, ingested. Safe to repeat: what is there is left alone, only keys are new.

    Raises DemoSourceError and what ingesting raises.
    """
    if not EXAMPLES.is_dir():
        raise DemoSourceError(
            f"the examples are not in {EXAMPLES}: run the demo from a checkout of the project"
        )
    initialise(settings)
    with opened_registry(settings) as registry:
        for plan in PLANS:
            plan.build(EXAMPLES / plan.tenant / plan.examples, _place(settings, plan))
            _set_up(registry, settings, plan)
        synchronise_partitions(settings, registry)
        return [_ready(registry, settings, plan) for plan in PLANS]


def _place(settings: Settings, plan: DemoPlan) -> Path:
    return settings.state / "demo" / plan.place


def _set_up(registry: Registry, settings: Settings, plan: DemoPlan) -> None:
    tenant = _tenant(registry, plan)
    with registry.read() as session:
        known = {source.name for source in sources.of_tenant(session, tenant.id)}
    if plan.source not in known:
        place = str(_place(settings, plan))
        add_source(
            registry, settings, NewSource(plan.source, plan.tenant, plan.kind, place, "", plan.options)
        )
    with registry.write() as session:
        if not canaries.of_tenant(session, tenant.id):
            questions = read_canaries(EXAMPLES / plan.tenant / "canaries.jsonl")
            canaries.merge(session, tenant.id, questions, utc_now())


def _tenant(registry: Registry, plan: DemoPlan) -> Tenant:
    with registry.write() as session:
        try:
            return tenants.find_active(session, plan.tenant)
        except NotFound:
            contract = Contract().changed({"owner": plan.owner})
            return tenants.create(session, plan.tenant, utc_now(), contract)


def _ready(registry: Registry, settings: Settings, plan: DemoPlan) -> DemoTenant:
    with registry.write() as session:
        tenant = tenants.find_active(session, plan.tenant)
        key = keys.create(session, tenant.id, utc_now(), "reader").key
    if tenant.live_generation is not None:
        return DemoTenant(plan.tenant, tenant.id, key, plan.question, True, None, None)
    with shown_progress(plan.tenant) as progress:
        ingested = ingest(registry, settings, plan.tenant, progress)
    for source in ingested.unreadable:
        warn(f"source {source}")
    asked = _ask(settings, tenant.id)
    accepted = ingested.accepted and asked.passed
    return DemoTenant(plan.tenant, tenant.id, key, plan.question, accepted, ingested.outcome, asked)


def _ask(settings: Settings, tenant_id: str) -> DailyResult:
    retrieval = open_retrieval(settings)
    try:
        return ask_today(retrieval.registry, retrieval.searcher, tenant_id, utc_now)
    finally:
        retrieval.close()


def example_search(tenant: DemoTenant, api: str) -> str:
    """A command to paste that asks the tenant's question."""
    body = json.dumps({"query": tenant.question, "k": 3})
    headers = f"-H 'Authorization: Bearer {tenant.key}' -H 'Content-Type: application/json'"
    return f"curl -s {api}/v1/search {headers} -d {shlex.quote(body)}"
