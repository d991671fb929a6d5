"""Trials made ready: tenants, sources of one kind, their writers, the first rows written."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.sources.kinds import prepare_source
from registry import sources
from tests.acceptance.consistency.git_writer import GitWriter
from tests.acceptance.consistency.postgres_writer import PostgresWriter
from tests.acceptance.consistency.record import Record
from tests.acceptance.consistency.sqlite_writer import SqliteWriter
from tests.acceptance.consistency.trial import MASS_DELETION_SHARE, Trial
from tests.acceptance.consistency.workload import Nomads, Workload
from tests.acceptance.consistency.writer import Writer
from tests.support.api import api_over
from tests.support.logical_postgres import Database
from tests.support.real_sources import opened_world
from tests.support.world import World

TENANTS = ("acme", "bolt", "crag")


@dataclass(frozen=True)
class Timing:
    """What `source add` is told, in seconds."""

    quiescence: float
    max_staleness: float


# Pins are to be behind the newest commit often, and taken without a quiet point now and then: on the trial's
# clock, which a step moves by seconds; on the machine's; and on git's, which counts in seconds.
TRIALS_CLOCK, MACHINES_CLOCK, GITS_CLOCK = Timing(2, 30), Timing(0.03, 0.5), Timing(1, 1.5)


@contextmanager
def shared_table(
    home: Path,
    seed: str,
    writer: Writer,
    timing: Timing,
    *,
    tenants: tuple[str, ...] = TENANTS,
    repositories: bool = False,
    api: bool = False,
    **parts: Any,
) -> Iterator[Trial]:
    """Tenants in one table, and pages that wander among them; with `repositories` each has one beside it."""
    with opened_world(home, **parts) as world, ExitStack() as stack:
        stack.callback(writer.close)
        ids = {tenant: world.add_tenant(tenant) for tenant in tenants}
        source_id = _add_source(world, writer, timing, None)
        works = {tenant: Workload(tenant, random.Random(f"{seed}/{tenant}")) for tenant in tenants}
        nomads = Nomads(tenants, random.Random(f"{seed}/nomads"))
        writer.commit([op for work in works.values() for op in work.founding()] + nomads.founding())
        name = writer.history.source
        record = Record(seed, {name: writer}, dict.fromkeys(tenants, (name,)), timing.quiescence)
        trial = Trial(
            world, record, ids, {name: source_id}, {t: (writer, work) for t, work in works.items()},
            nomads=(writer, nomads),
        )  # fmt: skip
        if repositories:
            trial.second, added = _with_repositories(trial, home, timing)
            trial.source_ids = {name: source_id, **added}
        _make_ready(trial, stack, api)
        yield trial


@contextmanager
def own_repositories(
    home: Path, seed: str, timing: Timing, *, api: bool = False, **parts: Any
) -> Iterator[Trial]:
    """Two tenants with a git repository each."""
    with opened_world(home, **parts) as world, ExitStack() as stack:
        tenants = TENANTS[:2]
        ids = {tenant: world.add_tenant(tenant) for tenant in tenants}
        record = Record(seed, {}, {}, timing.quiescence)
        trial = Trial(world, record, ids, {}, {})
        trial.workloads, trial.source_ids = _with_repositories(trial, home, timing)
        _make_ready(trial, stack, api)
        yield trial


def wiki(folder: Path) -> SqliteWriter:
    """The shared table in SQLite."""
    return SqliteWriter(folder / "wiki.sqlite3")


def wiki_in_postgres(database: Database) -> PostgresWriter:
    """The shared table in PostgreSQL."""
    return PostgresWriter(database)


def _with_repositories(
    trial: Trial, home: Path, timing: Timing
) -> tuple[dict[str, tuple[Writer, Workload]], dict[str, int]]:
    """A repository for each tenant, as a source of its own; its writer, and its id."""
    workloads: dict[str, tuple[Writer, Workload]] = {}
    source_ids: dict[str, int] = {}
    for tenant, tenant_id in trial.tenants.items():
        path = home.parent / f"{home.name}-{tenant}.git"
        writer = GitWriter(path, f"{tenant}-docs", trial.world.clock)
        work = Workload(tenant, random.Random(f"{trial.record.seed}/{tenant}/git"))
        writer.commit(work.founding())
        name = writer.history.source
        source_ids[name] = _add_source(trial.world, writer, timing, tenant_id)
        trial.record.writers[name] = writer
        trial.record.sources[tenant] = (*trial.record.sources.get(tenant, ()), name)
        workloads[tenant] = writer, work
    return workloads, source_ids


def _add_source(world: World, writer: Writer, timing: Timing, tenant: str | None) -> int:
    options = {name: str(seconds) for name, seconds in asdict(timing).items()} | dict(writer.options)
    prepare_source(writer.kind, writer.uri, options, world.clock, world.home / "mirrors")
    with world.registry.write() as session:
        return sources.add(
            session, name=writer.history.source, tenant_id=tenant, kind=writer.kind, uri=writer.uri,
            owner="o@example.org", options=options, now=world.clock(),
            consistency="transactional" if writer.transactional else "read-transaction",
        ).id  # fmt: skip


def _make_ready(trial: Trial, stack: ExitStack, api: bool) -> None:
    world = trial.world
    for tenant_id in trial.tenants.values():
        world.tenant = tenant_id
        world.set_contract(mass_deletion_share=MASS_DELETION_SHARE, retained_generations=4)
    if api:
        trial.api = stack.enter_context(api_over(world))
        trial.keys = {name: trial.api.new_key(tenant_id) for name, tenant_id in trial.tenants.items()}
