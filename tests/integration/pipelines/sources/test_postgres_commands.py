"""`holdfast source …` over a PostgreSQL table: what it makes there, what it shows, what it takes away again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from registry.clock import utc_now
from tests.support.command_line import HereCommand
from tests.support.logical_postgres import Database

TABLE = ["-o", "table=docs", "-o", "key=id", "-o", "body=body", "-o", "quiescence=0"]


@pytest.fixture
def holdfast(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> HereCommand:
    command = HereCommand(monkeypatch, tmp_path / "home")
    assert command("init", "--json").status == 0
    assert command("tenant", "create", "acme", "--json").status == 0
    return command


@pytest.fixture
def docs(database: Database) -> Database:
    database.execute(
        "CREATE TABLE docs (id int PRIMARY KEY, body text, tenant text)",
        "INSERT INTO docs VALUES (1, 'one', 'acme')",
    )
    return database


def add(holdfast: HereCommand, docs: Database, *more: str, name: str = "wiki") -> Any:
    return holdfast(
        "source", "add", name, "-t", "acme", "--kind", "postgres", "--uri", docs.url, *TABLE, *more, "--json"
    )


def publications(docs: Database) -> list[str]:
    return [name for (name,) in docs.query("SELECT pubname FROM pg_publication")]


def test_add_capture_test_remove(holdfast, docs):
    added = add(holdfast, docs)
    assert added.status == 0, added.stdout
    assert (added.document["documents"], added.document["consistency"]) == (1, "transactional")
    slot = added.document["options"]["slot"]
    assert (docs.slots(), publications(docs)) == ([], [slot]), "nothing is retained before anybody captures"
    looked = holdfast("capture", "--once", "--json")
    assert looked.document[0]["commits"] == 1
    assert docs.slots() == [slot]
    tested = holdfast("source", "test", "wiki", "--json").document
    assert tested["documents"] == 1
    assert f"slot {slot} retains" in tested["note"]
    assert tested["captured_position"] <= tested["position"]
    removed = holdfast("source", "remove", "wiki", "--json")
    assert (removed.status, removed.document["warnings"]) == (0, [])
    assert (docs.slots(), publications(docs)) == ([], [])


@pytest.mark.parametrize(("allowed_mb", "colour"), [("1000", "green"), ("0.00001", "red")])
def test_the_doctor_sees_what_a_slot_retains(holdfast, docs, allowed_mb, colour):
    slot = add(holdfast, docs, "-o", f"max_retained_wal_mb={allowed_mb}").document["options"]["slot"]
    docs.execute("UPDATE docs SET body = 'two'")
    holdfast("capture", "--once", "--json")
    found = [one for one in holdfast("doctor", "--json").document["findings"] if one["check"] == "slot"]
    assert [one["colour"] for one in found] == [colour]
    assert slot in found[0]["summary"]
    assert "retains" in found[0]["summary"]


def test_a_source_that_is_refused_leaves_nothing_behind(holdfast, docs):
    assert add(holdfast, docs).status == 0
    (first,) = publications(docs)
    again = add(holdfast, docs)
    assert again.error["code"] == "already_exists"
    assert publications(docs) == [first], (
        "the publication of the one that was refused is gone, the other's is not"
    )
    taken = add(holdfast, docs, "-o", f"slot={first}", name="second")
    assert taken.status == 2
    assert f"replication slot {first} is that of source wiki" in taken.error["message"]


def test_two_sources_may_read_one_table(holdfast, docs):
    assert [add(holdfast, docs, name=name).status for name in ("one", "two")] == [0, 0]
    assert [one["commits"] for one in holdfast("capture", "--once", "--json").document] == [1, 1]
    assert len(docs.slots()) == 2
    holdfast("source", "remove", "one", "--json")
    docs.execute("UPDATE docs SET body = 'new'")
    (two,) = holdfast("capture", "--once", "--json").document
    assert (two["error"], two["commits"]) == ("", 1)


def test_removing_what_cannot_be_reached_says_what_is_left(holdfast, docs):
    slot = add(holdfast, docs).document["options"]["slot"]
    docs.hide()
    removed = holdfast("source", "remove", "wiki", "--json")
    assert removed.status == 0
    (warning,) = removed.document["warnings"]
    assert f"pg_drop_replication_slot('{slot}')" in warning
    assert holdfast("source", "list", "--json").document == []


def test_erasing_a_tenant_takes_its_slots_with_it(holdfast, docs):
    add(holdfast, docs)
    holdfast("capture", "--once", "--json")
    assert len(docs.slots()) == 1
    erased = holdfast("tenant", "erase", "acme", "--yes", "--json")
    assert erased.status == 0, erased.stdout
    assert (docs.slots(), publications(docs)) == ([], [])


def test_a_column_that_was_renamed_is_mended_by_an_option(holdfast, docs):
    add(holdfast, docs)
    holdfast("capture", "--once", "--json")
    docs.execute("ALTER TABLE docs RENAME COLUMN body TO text", "UPDATE docs SET text = 'two' WHERE id = 1")
    failed = holdfast("capture", "--once", "--json")
    assert failed.status == 1
    assert "holdfast source set" in failed.document[0]["error"]
    assert holdfast("source", "test", "wiki", "--json").error["code"] == "schema_drift"
    assert holdfast("source", "set", "wiki", "-o", "body=nothing", "--json").status == 1
    changed = holdfast("source", "set", "wiki", "-o", "body=text", "-o", "quiescence=", "--json")
    assert changed.status == 0, changed.stdout
    assert changed.document["options"]["body"] == "text"
    assert "quiescence" not in changed.document["options"]
    (captured,) = holdfast("capture", "--once", "--json").document
    assert (captured["error"], captured["commits"], captured["upserts"], captured["deletes"]) == ("", 1, 1, 0)
    for refused in ("slot=x", "publication=x", "tenant_column=tenant", "colour=red", "nonsense"):
        ended = holdfast("source", "set", "wiki", "-o", refused, "--json")
        assert ended.status == 2, ended.stdout


def test_a_shared_table_needs_no_tenant(holdfast, docs):
    shared = holdfast(
        "source",
        "add",
        "wiki",
        "--kind",
        "postgres",
        "--uri",
        docs.url,
        *TABLE,
        "-o",
        "tenant_column=tenant",
        "--json",
    )
    assert shared.status == 0
    holdfast("capture", "--once", "--json")
    (document,) = holdfast("source", "list", "--tenant", "acme", "--json").document
    assert (document["name"], document["tenant"]) == ("wiki", None)
    assert document["checked_at"] <= utc_now().isoformat()


def test_no_command_tells_a_password(holdfast, docs):
    uri = docs.url.replace("postgres@", "postgres:s3cr%40t@")
    added = holdfast(
        "source", "add", "wiki", "-t", "acme", "--kind", "postgres", "--uri", uri, *TABLE, "--json"
    )
    assert added.status == 0, "the server trusts whoever comes by its socket"
    said = [
        added,
        holdfast("source", "list", "--json"),
        holdfast("source", "list"),
        holdfast("source", "test", "wiki"),
    ]
    docs.hide()
    said += [
        holdfast("capture", "--once"),
        holdfast("source", "list", "--json"),
        holdfast("source", "test", "wiki"),
    ]
    said += [holdfast("source", "remove", "wiki")]
    for ended in said:
        assert "s3cr" not in ended.stdout + ended.stderr
