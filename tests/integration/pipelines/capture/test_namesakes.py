"""A tenant that is given the name of an erased one: what a shared source says of that name is its own, all of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from registry import leases, tenants
from registry.errors import LeaseLost
from registry.leases import Holder
from registry.schema import Source
from tests.support.real_sources import add_source, opened_world
from tests.support.world import World

OPTIONS = {"table": "wiki", "key": "key", "body": "body", "tenant_column": "tenant", "format": "plain"}


@pytest.fixture
def wiki(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "wiki.db", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE wiki (key TEXT PRIMARY KEY, tenant TEXT, body TEXT)")
        connection.executemany(
            "INSERT INTO wiki VALUES (?, ?, ?)",
            [
                (f"{tenant}{n}", tenant, f"Text {n} of {tenant}.")
                for tenant in ("acme", "bolt")
                for n in range(4)
            ],
        )
        yield connection


@pytest.fixture
def world(tmp_path: Path, wiki: sqlite3.Connection) -> Iterator[World]:
    with opened_world(tmp_path / "home") as opened:
        for name in ("bolt", "acme"):
            opened.add_tenant(name)
        add_source(opened, "sqlite", tmp_path / "wiki.db", name="wiki", tenant=None, **OPTIONS)
        yield opened


def reborn(world: World) -> str:
    with world.registry.write() as session:
        tenants.erase(session, tenants.find(session, world.tenant))
    world.ingestion.capturer.catch_up_all()
    return world.add_tenant("acme")


def test_rows_that_nobody_changed_since_come_back_too(world: World, wiki: sqlite3.Connection) -> None:
    world.run()
    wiki.execute("UPDATE wiki SET body = 'While nobody was there.' WHERE key = 'acme2'")
    reborn(world)
    wiki.execute("UPDATE wiki SET body = 'Another text.' WHERE key = 'acme1'")
    assert world.run().status == "published"
    assert world.documents() == {f"acme{n}": "live" for n in range(4)}
    assert world.texts()["acme1"] == ["Another text."]
    assert world.texts()["acme2"] == ["While nobody was there."]


def test_others_notice_nothing(world: World, wiki: sqlite3.Connection) -> None:
    with world.reading() as session:
        bolt = tenants.find(session, "bolt").id
    assert world.run(bolt).status == "published"
    reborn(world)
    assert world.run(bolt).status == "unchanged"
    assert world.search("Text of bolt", tenant=bolt).hidden_since == 0
    wiki.execute("DELETE FROM wiki WHERE key = 'bolt1'")
    world.ingestion.capturer.catch_up_all()
    assert world.search("Text of bolt", tenant=bolt).hidden_since == 1


def test_a_name_that_nobody_had_costs_no_snapshot(world: World) -> None:
    world.ingestion.capturer.catch_up_all()
    world.add_tenant("crag")
    with world.reading() as session:
        assert session.query(Source).one().position is not None


def test_a_look_under_way_appends_nothing_more(world: World) -> None:
    world.ingestion.capturer.catch_up_all()
    with world.registry.write() as session:
        name = leases.capture_lease(session.query(Source).one().id)
        tenants.erase(session, tenants.find(session, world.tenant))
        token = leases.acquire(session, name, Holder.current("a look"), 60, world.clock())
    world.add_tenant("acme")
    with world.registry.write() as session, pytest.raises(LeaseLost):
        leases.renew(session, name, token, 60, world.clock())
    assert world.run().status == "published"
