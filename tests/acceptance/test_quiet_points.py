"""Quiet points, seen to work: nothing half-edited is published, nobody waits for ever, nobody waits for another."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from pipelines.ingestion.outcome import Outcome
from pipelines.sources.kinds import prepare_source
from registry import sources
from registry.schema import SourceCommit, TenantCommit
from tests.support.logical_postgres import Database, database, logical_server
from tests.support.real_sources import opened_world
from tests.support.world import SetClock, World

__all__ = ["database", "logical_server"]

PAGES = ("intro", "prices", "terms")
Execute = Callable[[str], Any]


class Wiki:
    """A shared table whose pages all carry one edition once an edit of theirs is done."""

    def __init__(self, world: World, kind: str, uri: str, execute: Execute) -> None:
        self.world = world
        self._execute = execute
        self._kind, self._uri = kind, uri
        self._tenants: dict[str, str] = {}
        execute("CREATE TABLE wiki (id TEXT PRIMARY KEY, tenant TEXT, body TEXT)")

    def add(self, *names: str, **options: str) -> None:
        """Tenants with their pages, and the source that all share."""
        for name in names:
            self._tenants[name] = self.world.add_tenant(name)
            for page in PAGES:
                self._execute(f"INSERT INTO wiki VALUES ('{name}-{page}', '{name}', '{_body(page, 0)}')")
        given = {"table": "wiki", "key": "id", "body": "body", "tenant_column": "tenant", **options}
        probe = prepare_source(self._kind, self._uri, given, self.world.clock, self.world.home / "mirrors")
        with self.world.registry.write() as session:
            sources.add(
                session, name="wiki", tenant_id=None, kind=self._kind, uri=self._uri, owner="o@example.org",
                options=given, consistency=str(probe.consistency), now=self.world.clock(),
            )  # fmt: skip

    def edit(self, tenant: str, page: str, edition: int) -> None:
        """One page, in a commit of its own."""
        self._execute(f"UPDATE wiki SET body = '{_body(page, edition)}' WHERE id = '{tenant}-{page}'")

    def capture(self) -> None:
        """What the capturer does at each look."""
        self.world.clock.now = datetime.now(UTC)
        assert [one.error for one in self.world.ingestion.capturer.catch_up_all()] == [""]

    def pause(self, seconds: float) -> None:
        """So much time passes on the source's clock: what was committed is that much older at the next look."""
        with self.world.registry.write() as session:
            for kind in (SourceCommit, TenantCommit):
                for commit in session.scalars(select(kind)):
                    commit.committed_at -= timedelta(seconds=seconds)
        self.capture()

    def ingest(self, tenant: str) -> Outcome:
        """A whole run of a tenant, from what was captured."""
        ingestion, tenant_id = self.world.ingestion, self._tenants[tenant]
        run = f"run-{next(_runs)}"
        try:
            outcome = ingestion.build(tenant_id, run)
            if outcome.status == "published" and outcome.generation is not None:
                ingestion.judge(tenant_id, outcome.generation)
                ingestion.publish(tenant_id, outcome.generation)
            return outcome
        finally:
            ingestion.release(tenant_id, run)

    def editions(self, tenant: str) -> set[int]:
        """The editions of the pages that a search finds: one, unless something half-edited is served."""
        answer = self.world.search("edition", k=100, tenant=self._tenants[tenant], mode="lexical")
        assert len(answer.hits) == len(PAGES)
        return {int(hit.text.rpartition(" ")[2].rstrip(".")) for hit in answer.hits}


_runs = itertools.count(1)


def _body(page: str, edition: int) -> str:
    return f"The {page} page is of edition {edition}."


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened_world(tmp_path / "home", clock=SetClock(datetime.now(UTC))) as world:
        yield world


@pytest.fixture
def sqlite_wiki(world: World, tmp_path: Path) -> Iterator[Wiki]:
    path = tmp_path / "wiki.sqlite3"
    connection = sqlite3.connect(path, isolation_level=None)
    yield Wiki(world, "sqlite", str(path), connection.execute)
    connection.close()


@pytest.fixture
def postgres_wiki(world: World, database: Database) -> Wiki:
    return Wiki(world, "postgres", database.url, database.execute)


@pytest.fixture(params=["sqlite", "postgres"])
def wiki(request: pytest.FixtureRequest) -> Wiki:
    found: Wiki = request.getfixturevalue(f"{request.param}_wiki")
    return found


def test_a_burst_of_edits_is_published_when_it_is_over_and_never_in_between(wiki: Wiki) -> None:
    wiki.add("acme", quiescence="60", max_staleness="3600")
    wiki.capture()
    wiki.pause(61)
    assert wiki.ingest("acme").status == "published"
    for edition in (1, 2):
        for page in PAGES:
            wiki.edit("acme", page, edition)
            wiki.capture()
            wiki.pause(30)
            outcome = wiki.ingest("acme")
            assert (outcome.status, outcome.reason) == ("unchanged", "waiting for a quiet point of wiki")
            assert wiki.editions("acme") == {0}
    wiki.pause(31)
    outcome = wiki.ingest("acme")
    assert (outcome.status, outcome.quiescent) == ("published", True)
    assert wiki.editions("acme") == {2}


def test_time_that_nobody_looked_at_is_not_quiet(wiki: Wiki) -> None:
    """Between the last look and the pin anything may have been written: a run that is slow does not make it quiet."""
    wiki.add("acme", quiescence="60", max_staleness="3600")
    wiki.capture()
    wiki.pause(61)
    assert wiki.ingest("acme").status == "published"
    wiki.edit("acme", "intro", 1)
    wiki.capture()
    wiki.edit("acme", "prices", 1)
    wiki.world.clock.advance(600)
    assert wiki.ingest("acme").status == "unchanged"
    assert wiki.editions("acme") == {0}


def test_writers_that_never_pause_are_published_within_the_staleness_and_that_is_said(wiki: Wiki) -> None:
    wiki.add("acme", quiescence="60", max_staleness="300")
    wiki.capture()
    wiki.pause(61)
    assert wiki.ingest("acme").status == "published"
    waited = 0
    edition = 0
    while waited <= 300:
        edition += 1
        wiki.edit("acme", PAGES[edition % len(PAGES)], edition)
        wiki.capture()
        outcome = wiki.ingest("acme")
        assert outcome.status == "unchanged", f"after {waited} s"
        wiki.pause(40)
        waited += 40
    outcome = wiki.ingest("acme")
    assert (outcome.status, outcome.quiescent) == ("published", False)
    assert max(wiki.editions("acme")) == edition
    assert wiki.world.search("edition", tenant=wiki.world.tenant).quiescent is False


def test_a_busy_tenant_of_a_shared_table_keeps_no_other_from_its_quiet_points(wiki: Wiki) -> None:
    wiki.add("busy", "calm", quiescence="60", max_staleness="3600")
    wiki.capture()
    wiki.pause(61)
    for tenant in ("busy", "calm"):
        assert wiki.ingest(tenant).status == "published"
    for page in PAGES:
        wiki.edit("calm", page, 1)
    wiki.capture()
    for edition in range(1, 4):
        wiki.pause(30)
        wiki.edit("busy", "intro", edition)
        wiki.capture()
    outcome = wiki.ingest("calm")
    assert (outcome.status, outcome.quiescent) == ("published", True)
    assert wiki.editions("calm") == {1}
    assert wiki.ingest("busy").status == "unchanged"
    assert wiki.editions("busy") == {0}
