"""`deadletter`, `owner`, and what `doctor` and `generations` say of builds, quarantine and orphans."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from cli import progress as shown
from registry import builds, leases
from registry.clock import utc_now
from registry.schema import Source, Tenant
from registry.settings import settings
from tests.support.command_line import HereCommand
from tests.support.fake_encoder import FakeEncoder
from tests.support.world import (
    TOPICS,
    World,
    empty_world,
    migrated_home,
    published,
    text_about,
    world,
)

__all__ = ["empty_world", "migrated_home", "published", "world"]


@pytest.fixture
def here(published: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[HereCommand]:
    """The command over a published world, whose sources were looked at just now."""
    published.commit(
        {"too large": "x" * 200_000}, unreadable={"locked": "permission denied", "torn": "no such block"}
    )
    assert published.run().status == "published"
    with published.registry.write() as session:
        session.execute(update(Source).values(checked_at=utc_now()))
        session.execute(update(Tenant).values(last_query_at=utc_now()))
    yield HereCommand(monkeypatch, published.home)
    settings.cache_clear()


def listed(here: HereCommand, *more: str) -> dict[str, dict[str, Any]]:
    ended = here("deadletter", "list", "--tenant", "acme", *more, "--json")
    assert ended.status == 0
    return {letter["document"]: letter for letter in ended.document}


def findings(here: HereCommand, check: str) -> list[dict[str, Any]]:
    return [f for f in here("doctor", "--json").document["findings"] if f["check"] == check]


def test_letters_are_listed(here: HereCommand) -> None:
    found = listed(here)
    assert list(found) == ["locked", "too large", "torn"]
    letter = found["too large"]
    assert set(letter) == {
        "document", "source", "version", "position", "committed_at", "state", "error", "attempts", "first_seen",
        "last_seen", "unread", "decided_by",
    }  # fmt: skip
    assert (letter["source"], letter["position"], letter["state"]) == ("docs", "c0002", "waiting")
    assert (letter["attempts"], letter["unread"], letter["decided_by"]) == (1, False, "")
    assert "bytes" in letter["error"] or "large" in letter["error"]
    assert listed(here, "--source", "other") == {}
    text = here("deadletter", "list", "--tenant", "acme")
    assert "permission denied" in text.stdout
    assert "deadletter retry|drop" in text.stderr


def test_a_retry_is_asked_for(here: HereCommand, published: World) -> None:
    ended = here("deadletter", "retry", "--tenant", "acme", "--by", "ann", "--json")
    assert ended.status == 0
    (letter,) = ended.document
    assert (letter["document"], letter["state"], letter["decided_by"]) == ("too large", "retrying", "ann")
    assert published.run().status == "unchanged"
    assert listed(here)["too large"]["attempts"] == 2
    refused = here("deadletter", "retry", "locked", "--tenant", "acme", "--json")
    assert (refused.status, refused.error["code"]) == (2, "registry_error")
    assert "mend it there" in refused.error["message"]


def test_what_to_drop_must_be_said(here: HereCommand) -> None:
    for words in ([], ["locked", "--all"]):
        ended = here("deadletter", "drop", *words, "--tenant", "acme", "--json")
        assert (ended.status, ended.error["code"]) == (2, "wrong_use")
    missing = here("deadletter", "drop", "d0", "--tenant", "acme", "--json")
    assert (missing.status, missing.error["code"]) == (2, "not_found")
    (dropped,) = here("deadletter", "drop", "locked", "--tenant", "acme", "--json").document
    assert (dropped["document"], dropped["state"]) == ("locked", "dropped")
    assert here("deadletter", "drop", "--all", "--tenant", "acme").status == 0
    assert {letter["state"] for letter in listed(here).values()} == {"dropped"}


def test_doctor_is_red_until_enough_is_dropped(here: HereCommand) -> None:
    (finding,) = findings(here, "quarantine")
    assert finding["colour"] == "red"
    assert "3 documents in quarantine (23% of source docs, allowed 10%)" in finding["summary"]
    here("deadletter", "drop", "locked", "torn", "--tenant", "acme")
    (finding,) = findings(here, "quarantine")
    assert finding["colour"] == "yellow"
    assert "1 document in quarantine, 2 dropped" in finding["summary"]
    here("deadletter", "drop", "--all", "--tenant", "acme")
    (finding,) = findings(here, "quarantine")
    assert finding["colour"] == "green"


def test_owners_are_listed_with_what_their_sources_cost(here: HereCommand) -> None:
    (owner,) = here("owner", "list", "--json").document
    assert (owner["owner"], owner["status"], owner["suspended_at"]) == ("o@example.org", "active", None)
    (source,) = owner["sources"]
    assert (source["source"], source["tenant"], source["orphaned"]) == ("docs", "acme", {})
    assert source["cost"] == owner["cost"]
    assert source["cost"]["documents"] == 13
    assert min(source["cost"][name] for name in ("chunks", "content_bytes", "index_bytes")) > 0
    assert here("owner", "list", "--orphaned", "--json").document == []
    assert "o@example.org" in here("owner", "list").stdout


def test_an_owner_who_is_gone_leaves_orphans_until_another_is_set(here: HereCommand) -> None:
    ended = here("owner", "suspend", "O@Example.org", "--json").document
    assert (ended["owner"], ended["status"], ended["changed"]) == ("o@example.org", "suspended", True)
    assert ended["sources"] == [{"source": "docs", "tenant": "acme"}]
    assert here("owner", "suspend", "o@example.org", "--json").document["changed"] is False
    (finding,) = findings(here, "orphaned")
    assert finding["colour"] == "yellow"
    assert "its owner o@example.org is suspended" in finding["summary"]
    assert "13 documents, 20 chunks" in finding["summary"]
    (owner,) = here("owner", "list", "--orphaned", "--json").document
    assert list(owner["sources"][0]["orphaned"]) == ["owner_suspended"]
    again = here("owner", "set", "docs", "new@example.org", "--tenant", "acme", "--json").document
    assert again == {
        "source": "docs", "tenant": "acme", "owner": "new@example.org", "before": "o@example.org"
    }  # fmt: skip
    assert findings(here, "orphaned") == []
    by_owner = {owner["owner"]: owner for owner in here("owner", "list", "--json").document}
    assert by_owner["o@example.org"]["status"] == "suspended"
    assert by_owner["o@example.org"]["sources"] == []
    assert here("owner", "suspend", "o@example.org", "--resume", "--json").document["status"] == "active"
    wrong = here("owner", "set", "docs", "somebody", "--json")
    assert (wrong.status, wrong.error["code"]) == (2, "registry_error")
    assert here("owner", "set", "none", "a@example.org", "--json").status == 2


def test_a_suspended_tenants_sources_are_orphans(here: HereCommand) -> None:
    here("tenant", "suspend", "acme")
    (finding,) = findings(here, "orphaned")
    assert "its tenant is suspended" in finding["summary"]


def test_a_build_under_way_is_seen(here: HereCommand, published: World) -> None:
    began = datetime.now(UTC) - timedelta(seconds=20)
    with published.registry.write() as session:
        builds.begin(session, published.tenant, "run", "reindex", "model a -> b", began)
        builds.note_stage(session, published.tenant, "run", "embeddings", 1_000, 400, began)
        builds.note_done(session, published.tenant, "run", 600, began + timedelta(seconds=10))
        holder = leases.Holder.current("run")
        token = leases.acquire(session, leases.ingest_lease(published.tenant), holder, 60, utc_now())
    (finding,) = findings(here, "build")
    assert finding["summary"] == (
        "reindex (model a -> b): embeddings 600 of 1,000, 20.0 a second, 20.0 s left"
    )
    assert "reindex under way: embeddings 600 of 1,000" in here("generations", "-t", "acme").stderr
    with published.registry.write() as session:
        leases.release(session, leases.ingest_lease(published.tenant), token)
    (finding,) = findings(here, "build")
    assert "then cut off: the next ingest goes on from there" in finding["summary"]


def test_progress_in_lines_tells_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    err = io.StringIO()
    monkeypatch.setattr(sys, "stderr", err)
    progress = shown.LineProgress("acme", lambda: now)
    progress.begin("embeddings", 100, 900)
    for _ in range(100):
        now += 0.5
        progress.advance("embeddings")
    lines = err.getvalue().splitlines()
    assert lines[0] == "acme: embeddings, 100 to do, 900 done before"
    assert lines[1] == "acme: embeddings, 20 of 100, 2.0 a second, 40 s left"
    assert len(lines) == 6


def test_the_model_named_by_a_reindex_is_for_people(published: World) -> None:
    published.use_encoder(FakeEncoder("other"))
    outcome = published.run()
    assert outcome.as_json()["work"]["reindexed"].startswith("model fake")


def test_a_retry_of_all_says_what_it_left_out_and_why(here: HereCommand) -> None:
    here("deadletter", "drop", "locked", "--tenant", "acme")
    ended = here("deadletter", "retry", "--tenant", "acme", "--json")
    assert [letter["document"] for letter in ended.document] == ["too large"]
    assert "1 document not retried, the source itself could not read what is there" in ended.stderr
    assert "(torn)" in ended.stderr
    assert (
        "1 document not retried, dropped by hand: holdfast deadletter retry --tenant acme KEY" in ended.stderr
    )
    assert "(locked)" in ended.stderr
    named = here("deadletter", "retry", "too large", "--tenant", "acme")
    assert "not retried" not in named.stderr


def test_a_retry_of_nothing_but_what_cannot_be_retried_says_so(here: HereCommand) -> None:
    here("deadletter", "drop", "too large", "--tenant", "acme")
    ended = here("deadletter", "retry", "--tenant", "acme")
    assert "nothing to be tried again" in ended.stdout
    assert "no document is in quarantine" not in ended.stdout
    assert "2 documents not retried" in ended.stderr
    assert here("deadletter", "retry", "--tenant", "acme", "--json").document == []


def reject(world: World, version: int) -> None:
    world.commit({"d0": text_about(TOPICS[0], version=version)})
    assert world.run().status == "rejected"


def test_doctor_names_a_tenant_whose_newest_candidate_was_rejected(
    here: HereCommand, published: World
) -> None:
    assert findings(here, "candidate") == []
    published.ask_about({f"what does the {TOPICS[1]} file say": ["d9"]})
    published.set_contract(k=1, recall_floor=0.9)
    reject(published, 1)
    began = published.clock()
    reject(published, 2)
    (finding,) = findings(here, "candidate")
    assert (finding["subject"], finding["colour"]) == ("acme", "red")
    assert "generation 4 and 1 candidate before it rejected by canary_recall" in finding["summary"]
    assert f"since {began:%Y-%m-%d %H:%M} UTC" in finding["summary"]
    assert "holdfast generations --tenant acme" in finding["summary"]
    published.set_contract(recall_floor=0.0, mrr_floor=0.0)
    assert published.run().status == "published"
    assert findings(here, "candidate") == []


def test_canaries_without_their_documents_are_told_at_once(here: HereCommand, tmp_path: Path) -> None:
    lines = [{"query": "one", "relevant": ["nowhere.md"]}, {"query": "two", "relevant": ["d0"]}]
    file = tmp_path / "canaries.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines))
    ended = here("canary", "import", str(file), "--tenant", "acme", "--json")
    assert (ended.status, ended.document["imported"], ended.document["absent"]) == (0, 2, ["nowhere.md"])
    assert "1 of them ask" in ended.stderr
    assert "document list --tenant acme" in ended.stderr
    file.write_text(json.dumps(lines[1]))
    assert here("canary", "import", str(file), "--tenant", "acme").stderr == ""
