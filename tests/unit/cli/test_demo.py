"""The demo's set-up, without the ingestion that takes its time: once, and again."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from canaries.daily import DailyResult
from cli import demo
from cli.ingesting import Ingested
from registry import keys, tenants
from registry.database import Registry
from registry.settings import Settings
from tests.support.command_line import HereCommand


@pytest.fixture
def ingests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the tenants that were ingested; each has a live generation then."""
    done: list[str] = []

    def ingest(registry: Registry, settings: Settings, tenant: str, progress: object) -> Ingested:
        done.append(tenant)
        with registry.write() as session:
            tenants.find(session, tenant).live_generation = 1
        return Ingested({**OUTCOME, "tenant": tenant}, [])

    monkeypatch.setattr(demo, "ingest", ingest)
    monkeypatch.setattr(demo, "synchronise_partitions", lambda *_: None)
    monkeypatch.setattr(demo, "_ask", lambda *_: DailyResult("t", 1, "passed", passed=True))
    return done


OUTCOME: dict[str, Any] = {
    "generation": 1,
    "status": "published",
    "sources": {},
    "quiescent": True,
    "documents": {"live": 1, "added": 1, "changed": 0, "deleted": 0, "quarantined": 0},
    "chunks": {"live": 1, "added": 1, "removed": 0, "unchanged": 0},
    "embedded": 1,
    "checks": [],
    "seconds": 1.0,
    "reason": "",
    "held": {},
}


def test_a_second_demo_only_makes_new_keys(holdfast: HereCommand, ingests: list[str]) -> None:
    first = holdfast("demo", "--no-serve", "--json")
    assert first.status == 0, first.stdout
    second = holdfast("demo", "--no-serve", "--json")
    assert second.status == 0
    assert ingests == ["northwind-rail", "harbor-clinic"]
    for name, kind, questions in (("northwind-rail", "git", 54), ("harbor-clinic", "sqlite", 59)):
        assert len(holdfast("canary", "list", "-t", name, "--json").document) == questions
        (source,) = holdfast("source", "list", "-t", name, "--json").document
        assert source["kind"] == kind
        assert source["owner"] == holdfast("contract", "show", "-t", name, "--json").document["owner"] != ""
        assert len(holdfast("key", "list", "-t", name, "--json").document) == 2
    registry = Registry(f"sqlite:///{holdfast.home / 'registry.sqlite3'}")
    with registry.read() as session:
        for ended in (first, second):
            for tenant in ended.document["tenants"]:
                assert keys.authenticate(session, tenant["key"], datetime.now(UTC)).name == tenant["name"]
    registry.close()


def test_the_sources_of_the_demo_can_be_captured(holdfast: HereCommand, ingests: list[str]) -> None:
    holdfast("demo", "--no-serve")
    captured = {one["source"]: one for one in holdfast("capture", "--once", "--json").document}
    assert {name: one["upserts"] for name, one in captured.items()} == {"handbook": 50, "wiki": 54}
    assert not any(one["error"] for one in captured.values())


def test_the_example_can_be_pasted(holdfast: HereCommand, ingests: list[str]) -> None:
    document = holdfast("demo", "--no-serve", "--json").document
    for tenant in document["tenants"]:
        words = shlex.split(tenant["search"])
        assert words[0] == "curl"
        assert f"{document['api']}/v1/search" in words
        assert f"Authorization: Bearer {tenant['key']}" in words
        assert json.loads(words[-1]) == {"query": tenant["question"], "k": 3}


def test_without_the_examples_it_says_so(
    holdfast: HereCommand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(demo, "EXAMPLES", tmp_path / "none")
    ended = holdfast("demo", "--no-serve", "--json")
    assert (ended.status, ended.error["code"]) == (1, "demo_source_error")


def test_a_foreign_target_is_left_alone(holdfast: HereCommand, ingests: list[str]) -> None:
    target = holdfast.home / "demo" / "harbor-clinic.sqlite3"
    target.parent.mkdir()
    target.write_text("mine")
    ended = holdfast("demo", "--no-serve", "--json")
    assert (ended.status, ended.error["code"]) == (1, "demo_source_error")
    assert target.read_text() == "mine"
    assert ingests == []
