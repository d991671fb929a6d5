"""Trials made ready: tenants, sources of one kind, their writers, the first rows written."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pipelines.sources.kinds import prepare_source
from registry import sources
from tests.acceptance.consistency.accidents import MASS_DELETION_SHARE
from tests.acceptance.consistency.git_writer import GitWriter
from tests.acceptance.consistency.postgres_writer import PostgresWriter
from tests.acceptance.consistency.record import Record
from tests.acceptance.consistency.sqlite_writer import SqliteWriter
from tests.acceptance.consistency.trial import Trial
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
        add_source = _adding(world, timing, ids)
        source_id = add_source(writer, None)  # its first rows are to be on its changelog
        works = {tenant: Workload(tenant, random.Random(f"{seed}/{tenant}")) for tenant in tenants}
        nomads = Nomads(tenants, random.Random(f"{seed}/nomads"))
        writer.commit([op for work in works.values() for op in work.founding()] + nomads.founding())
        trial = Trial(
            world, Record(seed, {}, {}, timing.quiescence), ids, {},
            {tenant: (writer, work) for tenant, work in works.items()}, add_source,
            nomads=(writer, nomads),
        )  # fmt: skip
        trial.introduce(writer.history.source, writer, None, source_id)
        if repositories:
            trial.second = _with_repositories(trial, home)
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
        trial = Trial(
            world, Record(seed, {}, {}, timing.quiescence), ids, {}, {}, _adding(world, timing, ids)
        )
        trial.workloads = _with_repositories(trial, home)
        _make_ready(trial, stack, api)
        yield trial


def wiki(folder: Path) -> SqliteWriter:
    """The shared table in SQLite."""
    return SqliteWriter(folder / "wiki.sqlite3")


def wiki_in_postgres(database: Database) -> PostgresWriter:
    """The shared table in PostgreSQL."""
    return PostgresWriter(database)


def _with_repositories(trial: Trial, home: Path) -> dict[str, tuple[Writer, Workload]]:
    """A repository for each tenant, as a source of its own, with its writer."""
    workloads: dict[str, tuple[Writer, Workload]] = {}
    for tenant in trial.tenants:
        path = home.parent / f"{home.name}-{tenant}.git"
        writer = GitWriter(path, f"{tenant}-docs", trial.world.clock)
        work = Workload(tenant, random.Random(f"{trial.record.seed}/{tenant}/git"))
        writer.commit(work.founding())
        trial.introduce(writer.history.source, writer, tenant, trial.add_source(writer, tenant))
        workloads[tenant] = writer, work
    return workloads


def _adding(world: World, timing: Timing, tenants: Mapping[str, str]) -> Callable[[Writer, str | None], int]:
    def add(writer: Writer, owner: str | None) -> int:
        return _add_source(world, writer, timing, None if owner is None else tenants[owner])

    return add


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
    # No Dagster takes part, and to import it takes longer than a trial.
    stack.enter_context(patch("cli.erasure.synchronise_partitions", lambda *_: None))
    for tenant_id in trial.tenants.values():
        world.tenant = tenant_id
        world.set_contract(mass_deletion_share=MASS_DELETION_SHARE, retained_generations=4)
    if api:
        trial.api = stack.enter_context(api_over(world))
        trial.keys = {name: trial.api.new_key(tenant_id) for name, tenant_id in trial.tenants.items()}
