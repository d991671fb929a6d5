"""Sources: added after a look, listed without secrets, tested, removed; and the capturer over them."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cli.adding_sources import absolute
from registry.database import Registry
from registry.schema import Source, Tenant
from tests.support.command_line import HereCommand


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "docs"
    made.mkdir()
    for name in ("a", "b", "c"):
        (made / f"{name}.md").write_text(f"# {name}\n\nText of {name}.\n")
    return made


@pytest.fixture
def wiki(tmp_path: Path) -> Path:
    path = tmp_path / "wiki.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE pages (slug TEXT PRIMARY KEY, body TEXT, owner TEXT)")
        rows = [("one", "first", "acme"), ("two", "second", "ghost"), ("three", "third", "ghost")]
        database.executemany("INSERT INTO pages VALUES (?, ?, ?)", rows)
    return path


def add_folder(acme: HereCommand, folder: Path, *more: str) -> dict[str, object]:
    ended = acme(
        "source", "add", "docs", "-t", "acme", "--kind", "folder", "--uri", str(folder), *more, "--json"
    )
    assert ended.status == 0, ended.stdout
    return dict(ended.document)


def test_a_source_is_looked_at_and_owned_by_the_contracts_owner(acme: HereCommand, folder: Path) -> None:
    added = add_folder(acme, folder)
    assert (added["documents"], added["owner"], added["warnings"]) == (3, "owner@acme.example", [])
    assert (added["tenant"], added["uri"], added["consistency"]) == ("acme", str(folder), "observed")
    (listed,) = acme("source", "list", "--json").document
    assert {name: listed[name] for name in listed} == {name: added[name] for name in listed}
    assert (listed["state"], listed["position"]) == ("unread", None)
    again = acme("source", "add", "docs", "-t", "acme", "--kind", "folder", "--uri", str(folder), "--json")
    assert (again.status, again.error["code"]) == (2, "already_exists")


def test_nobody_to_tell_is_a_warning(acme: HereCommand, folder: Path) -> None:
    acme("contract", "set", "--tenant", "acme", "owner=")
    ended = acme("source", "add", "docs", "-t", "acme", "--kind", "folder", "--uri", str(folder), "--json")
    assert ended.status == 0
    assert "has no owner" in ended.document["warnings"][0]
    assert "has no owner" in ended.stderr
    findings = acme("doctor", "--json").document["findings"]
    (orphan,) = [f for f in findings if f["check"] == "orphaned"]
    assert (orphan["colour"], "no owner" in orphan["summary"]) == ("yellow", True)


def test_relative_addresses_are_made_absolute(
    acme: HereCommand, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    ended = acme("source", "add", "docs", "-t", "acme", "--kind", "folder", "--uri", "docs", "--json")
    assert ended.document["uri"] == str(folder)


def test_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "repo").mkdir()
    assert absolute("folder", "docs") == str(tmp_path / "docs")
    assert absolute("sqlite", "sqlite:///w.db") == f"sqlite:///{tmp_path / 'w.db'}"
    assert absolute("git", "repo") == str(tmp_path / "repo")
    for kind, uri in (
        ("git", "git@git.example:a/repo.git"), ("git", "https://git.example/r"), ("git", "nowhere"),
        ("folder", "file:///srv/docs"), ("sqlite", "sqlite:////srv/w.db"), ("folder", "https://x"),
        ("folder", ""),
    ):  # fmt: skip
        assert absolute(kind, uri) == uri


def test_a_source_is_tested_without_capturing(acme: HereCommand, folder: Path) -> None:
    add_folder(acme, folder)
    (folder / "d.md").write_text("# d\n")
    found = acme("source", "test", "docs", "--json").document
    assert (found["healthy"], found["documents"], found["captured_position"]) == (True, 4, None)
    shutil.rmtree(folder)
    ended = acme("source", "test", "docs", "--json")
    assert (ended.status, ended.error["code"]) == (1, "source_unavailable")
    assert acme("source", "list", "--json").document[0]["position"] is None


def test_capture_once_tells_what_came(acme: HereCommand, folder: Path) -> None:
    add_folder(acme, folder)
    (first,) = acme("capture", "--once", "--json").document
    assert (first["source"], first["commits"], first["upserts"], first["error"]) == ("docs", 1, 3, "")
    (folder / "a.md").unlink()
    (second,) = acme("capture", "--once", "--json").document
    assert (second["commits"], second["upserts"], second["deletes"]) == (1, 0, 1)
    versions = acme("document", "history", "a.md", "--tenant", "acme", "--json").document
    assert [version["change"] for version in versions] == ["upsert", "delete"]
    assert versions[0]["version"]
    assert "a.md" not in acme("document", "history", "b.md", "--tenant", "acme").stdout

    shutil.rmtree(folder)
    ended = acme("capture", "--once", "--json")
    assert ended.status == 1
    assert ended.document[0]["error"]
    (listed,) = acme("source", "list", "--tenant", "acme", "--json").document
    assert listed["state"] == "failing"
    doctor = acme("doctor", "--json")
    assert doctor.status == 1
    assert ("acme: source docs", "red") in [(f["subject"], f["colour"]) for f in doctor.document["findings"]]
    assert "failing" in acme("doctor").stdout


def test_a_removed_source_is_gone_and_its_name_is_free(acme: HereCommand, folder: Path) -> None:
    add_folder(acme, folder)
    assert acme("source", "remove", "docs", "--tenant", "acme", "--json").document["removed"] is True
    assert acme("source", "list", "--json").document == []
    add_folder(acme, folder)


def test_a_shared_source_feeds_the_tenants_that_its_rows_name(acme: HereCommand, wiki: Path) -> None:
    options = ["-o", "table=pages", "-o", "key=slug", "-o", "body=body", "-o", "tenant_column=owner"]
    where = ["--kind", "sqlite", "--uri", str(wiki)]
    both = acme("source", "add", "wiki", *where, *options, "--tenant", "acme", "--json")
    assert (both.status, both.error["code"]) == (2, "wrong_use")
    added = acme("source", "add", "wiki", *where, *options, "--owner", "w@acme.example", "--json").document
    assert (added["tenant"], added["documents"]) == (None, 3)
    acme("capture", "--once")
    findings = acme("doctor", "--json").document["findings"]
    (waiting,) = [f for f in findings if f["check"] == "unknown"]
    assert (waiting["colour"], waiting["summary"].startswith("2 documents wait for a tenant 'ghost'")) == (
        "yellow",
        True,
    )
    acme("tenant", "create", "ghost")
    assert not [f for f in acme("doctor", "--json").document["findings"] if f["check"] == "unknown"]
    names = [s["name"] for s in acme("tenant", "show", "ghost", "--json").document["sources"]]
    assert names == ["wiki"]


def test_a_source_that_nobody_uses_is_orphaned(acme: HereCommand, folder: Path) -> None:
    add_folder(acme, folder)
    registry = Registry(f"sqlite:///{acme.home / 'registry.sqlite3'}")
    with registry.write() as session:
        session.query(Tenant).update({"created_at": datetime.now(UTC) - timedelta(days=31)})
    registry.close()
    (orphan,) = [f for f in acme("doctor", "--json").document["findings"] if f["check"] == "orphaned"]
    assert "nobody searched its tenant for 31 days" in orphan["summary"]
    acme("contract", "set", "--tenant", "acme", "idle_days=60")
    assert not [f for f in acme("doctor", "--json").document["findings"] if f["check"] == "orphaned"]


def test_a_password_is_never_shown(acme: HereCommand, folder: Path) -> None:
    add_folder(acme, folder)
    registry = Registry(f"sqlite:///{acme.home / 'registry.sqlite3'}")
    with registry.write() as session:
        session.query(Source).update(
            {"uri": "https://ann:s3cr3t@git.example/r", "error": "https://ann:s3cr3t@git.example/r: 403",
             "failing_since": datetime.now(UTC)}
        )  # fmt: skip
    registry.close()
    for arguments in (["source", "list"], ["tenant", "show", "acme"], ["doctor"]):
        for mode in ([], ["--json"]):
            ended = acme(*arguments, *mode)
            assert "s3cr3t" not in ended.stdout + ended.stderr, arguments
    assert "ann:***@git.example" in acme("source", "list", "--json").stdout


def test_sources_of_one_name_are_told_apart(acme: HereCommand, folder: Path) -> None:
    add_folder(acme, folder)
    acme("tenant", "create", "globex")
    gone = folder.with_name("gone")
    shutil.copytree(folder, gone)
    acme("source", "add", "docs", "-t", "globex", "--kind", "folder", "--uri", str(gone))
    shutil.rmtree(gone)
    looks = acme("capture", "--once", "--json").document
    assert sorted((look["tenant"], look["source"], bool(look["error"])) for look in looks) == [
        ("acme", "docs", False),
        ("globex", "docs", True),
    ]
    said = acme("capture", "--once")
    assert "globex: docs: " in said.stderr
    assert [line.split()[:2] for line in said.stdout.splitlines()[1:]] == [
        ["docs", "acme"],
        ["docs", "globex"],
    ]


def test_an_owner_is_an_address(acme: HereCommand, folder: Path) -> None:
    where = ["-t", "acme", "--kind", "folder", "--uri", str(folder)]
    ended = acme("source", "add", "docs", *where, "--owner", "facilities", "--json")
    assert (ended.status, ended.error["message"]) == (2, "'facilities' is no e-mail address")
    assert acme("source", "list", "--json").document == []
    added = acme("source", "add", "docs", *where, "--owner", "Ann@Example.org", "--json").document
    assert added["owner"] == "ann@example.org"


def test_a_folder_that_is_no_repository_is_named(acme: HereCommand, folder: Path) -> None:
    ended = acme("source", "add", "docs", "-t", "acme", "--kind", "git", "--uri", str(folder), "--json")
    assert ended.error["code"] == "source_unavailable"
    assert ended.error["message"].startswith(f"{folder}: git cannot read the repository: ")


def test_a_history_names_the_sources(acme: HereCommand, folder: Path) -> None:
    add_folder(acme, folder)
    acme("source", "add", "copy", "-t", "acme", "--kind", "folder", "--uri", str(folder))
    acme("capture", "--once")
    rows = acme("document", "history", "a.md", "--tenant", "acme").stdout.splitlines()[1:]
    assert sorted(row.split()[0] for row in rows) == ["copy", "docs"]
