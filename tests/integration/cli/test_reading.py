"""What can be read of a published tenant: the JSON contract, command by command."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.acme_home import DOCUMENTS, Home


def test_the_outcome_of_an_ingestion(published: Home) -> None:
    found = published.outcome
    assert {
        "tenant", "generation", "status", "sources", "quiescent", "documents", "chunks", "embedded", "checks",
        "seconds",
    } <= set(found)  # fmt: skip
    assert (found["tenant"], found["generation"], found["status"]) == ("acme", 1, "published")
    counts = {"live": 10, "added": 10, "changed": 0, "deleted": 0, "quarantined": 0}
    assert counts.items() <= found["documents"].items()
    assert (found["chunks"]["live"], found["embedded"]) == (10, 10)
    assert list(found["sources"]) == ["docs"]
    assert found["seconds"] > 0
    checks = {check["name"]: check["passed"] for check in found["checks"]}
    assert len(checks) == 6
    assert checks["canary_recall"] is True


def test_documents_are_listed(published: Home) -> None:
    listed = published("document", "list", "--tenant", "acme", "--json").document
    assert [d["document"] for d in listed] == sorted(DOCUMENTS)
    assert all(set(d) == {"document", "source", "version", "chunks", "state"} for d in listed)
    assert {(d["source"], d["chunks"], d["state"]) for d in listed} == {("docs", 1, "live")}
    assert published("document", "list", "--tenant", "acme", "--as-of", "1", "--json").document == listed
    assert published("document", "list", "--tenant", "acme", "--source", "none", "--json").document == []
    refused = published("document", "list", "--tenant", "acme", "--as-of", "7", "--json")
    assert (refused.status, refused.error["code"]) == (2, "generation_not_served")


def test_a_document_is_shown_as_it_was_stored(published: Home) -> None:
    found = published("document", "show", "volcano.md", "--tenant", "acme", "--json").document
    assert {"document", "source", "version", "position", "title", "uri", "metadata", "text", "chunks"} <= set(
        found
    )
    assert found["text"] == DOCUMENTS["volcano.md"]
    assert found["position"] == published.outcome["sources"]["docs"]
    (chunk,) = found["chunks"]
    assert "silica" in chunk["text"]
    answer = published("search", "basaltic lava", "-t", "acme", "--mode", "lexical", "--k", "1", "--json")
    hit = answer.document["hits"][0]
    assert (hit["chunk_id"], hit["version"]) == (chunk["chunk_id"], found["version"])
    (version,) = published("document", "history", "volcano.md", "--tenant", "acme", "--json").document
    assert (version["change"], version["version"], version["generations"]) == (
        "upsert",
        found["version"],
        [1],
    )
    missing = published("document", "show", "nothing.md", "--tenant", "acme", "--json")
    assert (missing.status, missing.error["code"]) == (2, "not_found")


def test_a_search_is_what_the_api_answers(published: Home) -> None:
    found = published(
        "search", "how does a submarine dive?", "--tenant", "acme", "--k", "3", "--json"
    ).document
    assert {
        "request_id", "tenant", "generation", "sources", "age_seconds", "hidden_since", "floor", "hits",
        "timings",
    } <= set(found)  # fmt: skip
    assert found["hits"][0]["document"] == "submarine.md"
    assert found["floor"]["met"] is True
    assert found["sources"] == published.outcome["sources"]
    plain = published("search", "ballast tanks", "--tenant", "acme", "--mode", "lexical")
    assert "Submarine" in plain.stdout
    filtered = published(
        "search",
        "ballast",
        "--tenant",
        "acme",
        "--mode",
        "lexical",
        "--filter",
        "document=chess.md",
        "--json",
    ).document
    assert filtered["hits"] == []


def test_below_the_floor_may_be_refused(changeable: Home) -> None:
    changeable("contract", "set", "--tenant", "acme", "on_floor_unmet=refuse")
    refused = changeable("search", "zzyzx", "--tenant", "acme", "--mode", "lexical", "--json")
    assert (refused.status, refused.error["code"]) == (1, "result_floor_unmet")
    assert refused.error["floor"]["met"] is False


def test_generations_are_listed(published: Home) -> None:
    (found,) = published("generations", "--tenant", "acme", "--json").document
    assert {"generation", "status", "sources", "quiescent", "documents", "chunks", "published_at"} <= set(
        found
    )
    assert (found["generation"], found["status"], found["documents"], found["base"]) == (1, "live", 10, None)
    assert found["checks"] == published.outcome["checks"]


def test_the_canaries_are_green(published: Home) -> None:
    ended = published("canary", "run", "--tenant", "acme", "--all", "--json")
    assert ended.status == 0
    assert (ended.document["status"], ended.document["recall"], ended.document["queries"]) == (
        "passed",
        1.0,
        3,
    )


def test_search_is_measured_by_judgements(published: Home, tmp_path: Path) -> None:
    queries, qrels = tmp_path / "q.jsonl", tmp_path / "r.tsv"
    queries.write_text('{"_id": "1", "text": "ballast tanks"}\n{"_id": "2", "text": "rosin bow"}\n')
    qrels.write_text("query-id\tcorpus-id\tscore\n1\tsubmarine.md\t1\n2\tchess.md\t1\n")
    arguments = [
        "evaluate",
        "--tenant",
        "acme",
        "--queries",
        str(queries),
        "--qrels",
        str(qrels),
        "--mode",
        "lexical",
    ]
    found = published(*arguments, "--json").document
    assert found == {
        "ndcg@10": 0.5, "recall@10": 0.5, "recall@100": 0.5, "mrr@10": 0.5, "queries": 2, "mode": "lexical",
    }  # fmt: skip
    assert "ndcg@3" in published(*arguments, "--k", "3", "--json").document


def test_the_doctor_finds_everything_well(published: Home) -> None:
    ended = published("doctor", "--json")
    assert ended.status == 0, ended.stdout
    assert ended.document["healthy"] is True
    looked_at = {(f["subject"], f["check"]) for f in ended.document["findings"]}
    assert {("registry", "schema"), ("model", "weights"), ("acme", "live"), ("acme", "fresh")} <= looked_at
    assert {f["colour"] for f in ended.document["findings"]} == {"green"}


def damage_index(home: Home) -> None:
    (generation,) = (home.path / "index").glob("*/1")
    files = [generation / name for name in json.loads((generation / "manifest.json").read_text())["files"]]
    largest = max(files, key=lambda path: path.stat().st_size)
    with largest.open("r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 1]))


def change_registered_weights(home: Home) -> None:
    with closing(sqlite3.connect(home.path / "registry.sqlite3")) as database, database:
        database.execute("PRAGMA foreign_keys=OFF")
        other = hashlib.sha256(b"other weights").hexdigest()
        database.execute("UPDATE embedding_model SET id = 'other', weights_sha256 = ?", (other,))
        database.execute("UPDATE generation SET model_id = 'other'")


def leave_an_alert(home: Home) -> None:
    with closing(sqlite3.connect(home.path / "registry.sqlite3")) as database, database:
        database.execute(
            "INSERT INTO alert (tenant_id, fingerprint, kind, subject, details, created_at, attempts, error)"
            " SELECT id, 'x', 'test', 'something', '{}', '2020-01-01 00:00:00.000000', 3, '' FROM tenant"
        )


@pytest.mark.parametrize(
    ("harm", "subject", "check"),
    [
        (damage_index, "acme", "live"),
        (change_registered_weights, "model", "weights"),
        (leave_an_alert, "alerts", "delivery"),
    ],
)
def test_the_doctor_finds_what_is_wrong(
    changeable: Home, harm: Callable[[Home], None], subject: str, check: str
) -> None:
    harm(changeable)
    ended = changeable("doctor", "--json")
    assert ended.status == 1
    red = {(f["subject"], f["check"]) for f in ended.document["findings"] if f["colour"] == "red"}
    assert (subject, check) in red
