"""The demo's documents and canaries are fit for use, and the builders give them a past."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cli.demo_sources import DemoSourceError, build_git_repository, build_wiki_database

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
DOCUMENTS = EXAMPLES / "northwind-rail" / "docs"
PAGES = EXAMPLES / "harbor-clinic" / "pages.jsonl"
TENANTS = ["northwind-rail", "harbor-clinic"]


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def texts(tenant: str) -> dict[str, str]:
    if tenant == "harbor-clinic":
        return {page["slug"]: f"{page['title']}\n{page['body']}" for page in read_lines(PAGES)}
    files = (path for path in DOCUMENTS.rglob("*") if path.is_file())
    return {path.relative_to(DOCUMENTS).as_posix(): path.read_text(encoding="utf-8") for path in files}


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def git(repository: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=T", "-c", "user.email=t@t.example"]
    command = ["git", *identity, *arguments]
    # Under a git hook these variables name our own repository, which no test may touch.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment["GIT_CONFIG_GLOBAL"] = os.devnull
    return subprocess.run(
        command, cwd=repository, env=environment, check=True, capture_output=True, text=True
    ).stdout


def tree(repository: Path) -> dict[str, str]:
    paths = git(repository, "ls-tree", "-r", "-z", "--name-only", "main").split("\0")[:-1]
    return {path: git(repository, "show", f"main:{path}") for path in paths}


def rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("git") / "northwind-rail"
    build_git_repository(DOCUMENTS, target)
    return target


@pytest.fixture
def wiki(tmp_path: Path) -> Iterator[Path]:
    target = tmp_path / "wiki.db"
    build_wiki_database(PAGES, target)
    yield target
    assert [path.name for path in tmp_path.iterdir()] == ["wiki.db"]


# The documents and canaries


@pytest.mark.parametrize("tenant", TENANTS)
def test_forty_documents_of_a_fair_length(tenant: str) -> None:
    lengths = {key: len(text.split()) for key, text in texts(tenant).items()}
    assert len(lengths) >= 40
    assert {key: length for key, length in lengths.items() if not 120 <= length <= 450} == {}


@pytest.mark.parametrize("tenant", TENANTS)
def test_canaries_name_documents_that_exist(tenant: str) -> None:
    canaries = read_lines(EXAMPLES / tenant / "canaries.jsonl")
    keys = texts(tenant).keys()
    assert len(canaries) >= 24
    assert len({canary["query"] for canary in canaries}) == len(canaries)
    for canary in canaries:
        assert set(canary) == {"query", "relevant"}
        assert canary["relevant"]
        assert set(canary["relevant"]) <= keys


@pytest.mark.parametrize("tenant", TENANTS)
def test_no_canary_is_copied_from_its_document(tenant: str) -> None:
    documents = {key: " ".join(words(text)) for key, text in texts(tenant).items()}
    for canary in read_lines(EXAMPLES / tenant / "canaries.jsonl"):
        query = words(canary["query"])
        for key in canary["relevant"]:
            assert " ".join(query) not in documents[key]
            assert not set(query) <= set(documents[key].split()), canary["query"]


def test_page_ids_and_addresses_are_unique() -> None:
    pages = read_lines(PAGES)
    assert len({page["slug"] for page in pages}) == len(pages)
    assert len({page["url"] for page in pages}) == len(pages)
    assert {frozenset(page) for page in pages} == {
        frozenset({"slug", "title", "body", "url", "category", "updated_by"})
    }


def test_repository_documents_come_in_four_formats() -> None:
    suffixes = {path.rsplit(".", 1)[1] for path in texts("northwind-rail")}
    assert suffixes == {"md", "rst", "html", "txt"}


@pytest.mark.parametrize("phrase", ["on-call rota", "incident report"])
def test_both_tenants_speak_of_the_same_thing(phrase: str) -> None:
    assert all(any(phrase in text.lower() for text in texts(tenant).values()) for tenant in TENANTS)


# The git repository


def test_repository_ends_with_the_documents(repository: Path) -> None:
    assert tree(repository) == texts("northwind-rail")
    assert git(repository, "status", "--porcelain") == ""
    assert git(repository, "branch", "--format=%(refname:short)").split() == ["main"]


def test_repository_history_has_a_merge_a_rename_and_a_deletion(repository: Path) -> None:
    assert int(git(repository, "rev-list", "--count", "main")) >= 8
    merges = git(repository, "rev-list", "--merges", "main").split()
    assert len(merges) == 1
    # A capturer follows first parents: from there the side branch's rename arrives with the merge.
    renames = git(
        repository, "diff", "-M100%", "--diff-filter=R", "--name-status", f"{merges[0]}^1", merges[0]
    )
    assert renames.split() == ["R100", "operations/winter-working.md", "operations/snow-plan.md"]
    log = ["log", "--no-renames", "--diff-filter=D", "--first-parent", "--format=", "--name-only", "main"]
    deleted = set(git(repository, *log).split())
    assert "brakes/vacuum-brake-stock.md" in deleted
    assert deleted.isdisjoint(tree(repository))


def test_repository_history_edits_documents_on_several_days(repository: Path) -> None:
    edited = set(git(repository, "log", "--diff-filter=M", "--format=", "--name-only", "main").split())
    assert {"wheels/wheel-flats.md", "operations/on-call-rota.md", "operations/snow-plan.md"} <= edited
    dates = git(repository, "log", "--first-parent", "--format=%cI", "main").split()
    assert dates == sorted(dates, reverse=True)
    assert len({date[:10] for date in dates}) >= 8


def test_same_commits_under_any_configuration(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = tmp_path / "home"
    (hostile / ".config" / "git").mkdir(parents=True)
    (hostile / ".config" / "git" / "ignore").write_text("*.txt\n")
    # Not even readable: any git that looks at it fails.
    (hostile / ".gitconfig").write_text("[user\n useConfigOnly = true\n")
    head = git(repository, "rev-parse", "main")
    monkeypatch.setenv("HOME", str(hostile))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(hostile / ".config"))
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    build_git_repository(DOCUMENTS, tmp_path / "again")
    assert git(tmp_path / "again", "rev-parse", "main") == head


def test_repository_with_later_commits_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "rail"
    build_git_repository(DOCUMENTS, target)
    (target / "new.md").write_text("A page of one's own.\n")
    git(target, "add", "new.md")
    git(target, "commit", "--quiet", "-m", "Add a page")
    head = git(target, "rev-parse", "main")
    build_git_repository(DOCUMENTS, target)
    assert git(target, "rev-parse", "main") == head
    assert (target / "new.md").exists()


def test_killed_repository_build_is_begun_again(repository: Path, tmp_path: Path) -> None:
    half = tmp_path / ".rail.building"
    half.mkdir()
    git(half, "init", "--quiet", "--initial-branch=main")
    (half / "leftover.md").write_text("half\n")
    (tmp_path / "rail").mkdir()
    build_git_repository(DOCUMENTS, tmp_path / "rail")
    assert git(tmp_path / "rail", "rev-parse", "main") == git(repository, "rev-parse", "main")
    assert not half.exists()


def test_documents_changed_since_the_history_was_written_are_all_there(tmp_path: Path) -> None:
    tenant, gone = tmp_path / "tenant", DOCUMENTS / "wheels" / "wheel-flats.md"
    for source in (EXAMPLES / "northwind-rail").rglob("*"):
        if source.is_file() and source != gone:
            copy = tenant / source.relative_to(EXAMPLES / "northwind-rail")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(source.read_bytes())
    (tenant / "docs" / "unplanned").mkdir()
    (tenant / "docs" / "unplanned" / "page.md").write_text("Nobody planned this page.\n")
    build_git_repository(tenant / "docs", tmp_path / "rail")
    expected = texts("northwind-rail") | {"unplanned/page.md": "Nobody planned this page.\n"}
    del expected["wheels/wheel-flats.md"]
    assert tree(tmp_path / "rail") == expected


def test_a_foreign_directory_is_refused_and_kept(tmp_path: Path) -> None:
    # Inside another repository with a main of its own, which must not be taken for the target's.
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "-m", "outer")
    target = tmp_path / "rail"
    (target / ".git").mkdir(parents=True)
    (target / "precious.txt").write_text("mine\n")
    with pytest.raises(DemoSourceError, match="not the demo's repository"):
        build_git_repository(DOCUMENTS, target)
    assert (target / "precious.txt").read_text() == "mine\n"


def test_a_damaged_history_leaves_no_target(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "history").mkdir()
    for text in ("{", "[]", '[{"date": "2025-08-04T09:10:00Z", "who": "nobody"}]'):
        (tmp_path / "history" / "commits.json").write_text(text)
        with pytest.raises(DemoSourceError, match=r"commits\.json"):
            build_git_repository(tmp_path / "docs", tmp_path / "rail")
        assert not (tmp_path / "rail").exists()


# The wiki


def test_wiki_ends_with_the_pages(wiki: Path) -> None:
    found = rows(wiki, "SELECT slug, title, body, url, category, updated_by FROM pages")
    assert sorted(found) == sorted(tuple(page.values()) for page in read_lines(PAGES))


def test_wiki_history_keeps_every_earlier_wording_and_the_deleted_page(wiki: Path) -> None:
    past = read_lines(PAGES.parent / "history.jsonl")
    kept = rows(wiki, "SELECT slug, body, updated_by FROM page_history ORDER BY slug, revision")
    assert sorted(kept) == sorted((page["slug"], page["body"], page["updated_by"]) for page in past)
    slugs = {page["slug"] for page in read_lines(PAGES)}
    assert [slug for slug, _, _ in kept if slug not in slugs] == ["fax-machines"]
    assert len({slug for slug, _, _ in kept} & slugs) >= 4
    revisions = "SELECT revision, body FROM page_history WHERE slug = 'no-show-policy' ORDER BY revision"
    expected = [page["body"] for page in past if page["slug"] == "no-show-policy"]
    assert rows(wiki, revisions) == list(enumerate(expected, start=1))


def test_wiki_page_is_newer_than_its_revisions_and_differs(wiki: Path) -> None:
    stale = "SELECT p.slug FROM pages p JOIN page_history h USING (slug) WHERE {}"
    assert rows(wiki, stale.format("h.updated_at >= p.updated_at OR h.body = p.body")) == []
    assert rows(wiki, stale.format("true")) != []


def test_wiki_slug_is_its_primary_key(wiki: Path) -> None:
    assert rows(wiki, "SELECT name FROM pragma_table_info('pages') WHERE pk = 1") == [("slug",)]


def test_edited_wiki_is_left_alone(wiki: Path) -> None:
    with closing(sqlite3.connect(wiki)) as connection, connection:
        connection.execute("DELETE FROM pages WHERE slug <> 'parking'")
    before = wiki.read_bytes()
    build_wiki_database(PAGES, wiki)
    assert wiki.read_bytes() == before


def test_killed_wiki_build_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / ".wiki.db.building").write_bytes(b"half a database")
    (tmp_path / "wiki.db").touch()
    build_wiki_database(PAGES, tmp_path / "wiki.db")
    assert rows(tmp_path / "wiki.db", "SELECT count(*) FROM pages") == [(len(read_lines(PAGES)),)]
    assert not (tmp_path / ".wiki.db.building").exists()


def test_a_foreign_file_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_bytes(b"mine, and long enough to look like a file")
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection, connection:
        connection.execute("CREATE TABLE pages (id INTEGER)")
    for name in ("notes.db", "other.db"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(DemoSourceError, match="not the demo's wiki"):
            build_wiki_database(PAGES, tmp_path / name)
        assert (tmp_path / name).read_bytes() == before
