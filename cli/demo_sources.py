"""Builds the demo's two upstream systems, with a past: a git repository and a wiki's SQLite database.

Both builders work beside their target and rename the finished thing into place, so that a target either is
complete or does not exist. A complete target is left alone: by then people may have edited it.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cli.errors import DemoSourceError

# Fixed and long past: the same commits on every machine, and quiet sources however wrong the clock is.
WIKI_BEGINS = datetime(2025, 8, 4, 8, 0, tzinfo=UTC)

WIKI_SCHEMA = """
CREATE TABLE pages (
    slug TEXT PRIMARY KEY, title TEXT NOT NULL, body TEXT NOT NULL, url TEXT NOT NULL,
    category TEXT NOT NULL, updated_by TEXT NOT NULL, updated_at TEXT NOT NULL
);
CREATE TABLE page_history (
    slug TEXT NOT NULL, revision INTEGER NOT NULL, body TEXT NOT NULL,
    updated_by TEXT NOT NULL, updated_at TEXT NOT NULL, PRIMARY KEY (slug, revision)
);
"""


@dataclass(frozen=True)
class PlannedCommit:
    """One commit of the demo repository: a line of `history/commits.json`.

    `add` are globs within the documents, less the paths in `without`; `earlier` are paths within
    `history/earlier` that overlay them; `move` are (from, to) pairs. A commit with `merge` does only that.
    """

    date: str
    author: str
    message: str
    branch: str = "main"
    add: Sequence[str] = ()
    without: Sequence[str] = ()
    earlier: Sequence[str] = ()
    move: Sequence[tuple[str, str]] = ()
    remove: Sequence[str] = ()
    merge: str | None = None


@dataclass(frozen=True)
class WikiPage:
    """One wording of a wiki page: a line of `pages.jsonl` (the present) or `history.jsonl` (the past)."""

    slug: str
    title: str
    body: str
    url: str
    category: str
    updated_by: str


def build_git_repository(documents: Path, target: Path) -> None:
    """Build a repository at `target` whose branch `main` ends with exactly the tree in `documents`.

    The history is read from `history/` beside `documents`: edits, a rename, a deletion, a merge. Authors and
    dates are fixed, and no configuration of the user or the machine is read, so the commits' ids are always
    the same.

    Raises DemoSourceError if `target` holds something else, the history is damaged, or git is missing.
    """
    if _is_complete_repository(target):
        return
    history = documents.parent / "history"
    plan = _read_plan(history / "commits.json")
    building = _fresh_sibling(target)
    _init(building)
    for planned in plan[:-1]:
        _make_commit(building, planned, documents, history / "earlier")
    # The last commit starts from nothing and adds everything: the tree is right whatever the plan forgot.
    _switch(building, "main")
    _git(building, "rm", "-r", "--quiet", ".")
    last = replace(plan[-1], add=("**/*",), without=(), earlier=(), move=(), remove=())
    _make_commit(building, last, documents, history / "earlier")
    for branch in sorted({planned.branch for planned in plan} - {"main"}):
        _git(building, "branch", "--quiet", "-d", branch)
    building.rename(target)


def build_wiki_database(pages: Path, target: Path) -> None:
    """Build an SQLite wiki at `target` whose table `pages` ends with exactly the lines of `pages`.

    Earlier wordings are read from `history.jsonl` beside `pages` (oldest first); they are inserted, then
    updated. A page that occurs only there is inserted and deleted. `page_history` keeps what was replaced.

    Raises DemoSourceError if `target` is something else or a line cannot be read.
    """
    if _is_complete_wiki(target):
        return
    final = _read_pages(pages)
    past = _read_pages(pages.parent / "history.jsonl")
    building = _fresh_sibling(target)
    with closing(sqlite3.connect(building)) as connection:
        connection.executescript(WIKI_SCHEMA)
        _write_wiki(connection, past, final)
    building.replace(target)


def _is_complete_repository(target: Path) -> bool:
    """Say whether a repository is there; raise DemoSourceError if something else is."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    main = ("rev-parse", "--verify", "--quiet", "refs/heads/main^{commit}")
    if (target / ".git").exists() and _git(target, *main, check=False).returncode == 0:
        return True
    raise DemoSourceError(
        f"{target} exists and is not the demo's repository; move it away or choose another place"
    )


def _fresh_sibling(target: Path) -> Path:
    """Return an unused path on the target's file system, cleared of what a killed build left there."""
    building = target.with_name(f".{target.name}.building")
    target.parent.mkdir(parents=True, exist_ok=True)
    if building.is_dir():
        shutil.rmtree(building)
    building.unlink(missing_ok=True)
    return building


def _read_plan(path: Path) -> list[PlannedCommit]:
    try:
        plan = [PlannedCommit(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise DemoSourceError(f"the demo's history {path} cannot be read: {error}") from error
    if not plan or plan[-1].branch != "main" or plan[-1].merge:
        raise DemoSourceError(f"the demo's history {path} must end with an ordinary commit on main")
    return plan


def _init(repository: Path) -> None:
    repository.mkdir(parents=True)
    _git(repository, "init", "--quiet", "--template=", "--object-format=sha1", "--initial-branch=main")
    # So that whoever tries the demo can commit at once, with or without a name of their own.
    _git(repository, "config", "user.name", "Demo Editor")
    _git(repository, "config", "user.email", "demo.editor@northwind-rail.example")


def _make_commit(repository: Path, planned: PlannedCommit, documents: Path, earlier: Path) -> None:
    _switch(repository, planned.branch)
    if planned.merge:
        merge = ("merge", "--quiet", "--no-ff", "-m", planned.message, planned.merge)
        _git(repository, *merge, signed_by=planned)
        return
    for source, path in _added(planned, documents, earlier):
        destination = repository / path
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, destination)
    for old, new in planned.move:
        _git(repository, "mv", old, new)
    for path in planned.remove:
        (repository / path).unlink()
    _git(repository, "add", "--all", "--force")
    # Empty is allowed: whoever edits the examples should not have to keep the history in step.
    _git(repository, "commit", "--quiet", "--allow-empty", "-m", planned.message, signed_by=planned)


def _switch(repository: Path, branch: str) -> None:
    current = _git(repository, "symbolic-ref", "--short", "HEAD").stdout.strip()
    if current == branch:
        return
    known = _git(repository, "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}", check=False)
    _git(repository, "switch", "--quiet", *([] if known.returncode == 0 else ["--create"]), branch)


def _added(planned: PlannedCommit, documents: Path, earlier: Path) -> Iterator[tuple[Path, str]]:
    """Yield (file to copy, its path in the repository)."""
    for pattern in planned.add:
        for source in sorted(documents.glob(pattern)):
            path = source.relative_to(documents).as_posix()
            if source.is_file() and path not in planned.without:
                yield source, path
    for path in planned.earlier:
        yield earlier / path, path


def _git(
    repository: Path, *arguments: str, signed_by: PlannedCommit | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run git in `repository`, blind to every configuration but the repository's own."""
    program = shutil.which("git")
    if program is None:
        raise DemoSourceError("the demo needs git to build its repository; install git and try again")
    isolated = [f"core.{name}={os.devnull}" for name in ("attributesFile", "excludesFile", "hooksPath")]
    settings = [*isolated, "core.autocrlf=false", "core.fileMode=false", "commit.gpgSign=false"]
    command = [program, *(part for setting in settings for part in ("-c", setting)), *arguments]
    result = subprocess.run(  # noqa: S603 (no shell; the arguments come from the examples)
        command,
        cwd=repository,
        env=_git_environment(repository, signed_by),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if check and result.returncode != 0:
        raise DemoSourceError(f"git {arguments[0]} failed in {repository}: {result.stderr.strip()}")
    return result


def _git_environment(repository: Path, signed_by: PlannedCommit | None) -> dict[str, str]:
    # GIT_DIR and its like are set inside a git hook and would lead us into another repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    # The ceiling: a damaged repository must not be taken for the one that it lies in.
    environment |= {"GIT_CEILING_DIRECTORIES": str(repository.resolve().parent), "LC_ALL": "C.UTF-8"}
    if signed_by is not None:
        email = f"{signed_by.author.lower().replace(' ', '.')}@northwind-rail.example"
        for role in ("AUTHOR", "COMMITTER"):
            environment[f"GIT_{role}_NAME"] = signed_by.author
            environment[f"GIT_{role}_EMAIL"] = email
            environment[f"GIT_{role}_DATE"] = signed_by.date
    return environment


def _is_complete_wiki(target: Path) -> bool:
    """Say whether a wiki is there; raise DemoSourceError if something else is."""
    if not target.exists() or (target.is_file() and target.stat().st_size == 0):
        return False
    try:
        with closing(sqlite3.connect(f"{target.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("SELECT slug, title, body, url, category, updated_by, updated_at FROM pages")
    except sqlite3.DatabaseError as error:
        raise DemoSourceError(
            f"{target} exists and is not the demo's wiki ({error}); move it away or choose another place"
        ) from error
    return True


def _read_pages(path: Path) -> list[WikiPage]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        return [WikiPage(**json.loads(line)) for line in lines if line.strip()]
    except (OSError, ValueError, TypeError) as error:
        raise DemoSourceError(f"the demo's pages {path} cannot be read: {error}") from error


def _write_wiki(connection: sqlite3.Connection, past: list[WikiPage], final: list[WikiPage]) -> None:
    """Write the pages' first wordings in one transaction, then each later change in its own."""
    wordings: dict[str, list[WikiPage]] = {}
    for page in (*past, *final):
        wordings.setdefault(page.slug, []).append(page)
    kept = {page.slug for page in final}
    moment = WIKI_BEGINS
    with connection:
        for first, *_ in wordings.values():
            _put(connection, first, moment)
    for slug, (_, *later) in wordings.items():
        for page in later:
            moment += timedelta(hours=1)
            with connection:
                _keep_revision(connection, slug)
                _put(connection, page, moment)
        if slug not in kept:
            with connection:
                _keep_revision(connection, slug)
                connection.execute("DELETE FROM pages WHERE slug = ?", (slug,))


def _put(connection: sqlite3.Connection, page: WikiPage, moment: datetime) -> None:
    row = (page.slug, page.title, page.body, page.url, page.category, page.updated_by, moment.isoformat())
    connection.execute(
        "INSERT INTO pages VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (slug) DO UPDATE SET title = excluded.title,"
        " body = excluded.body, url = excluded.url, category = excluded.category,"
        " updated_by = excluded.updated_by, updated_at = excluded.updated_at",
        row,
    )


def _keep_revision(connection: sqlite3.Connection, slug: str) -> None:
    connection.execute(
        "INSERT INTO page_history"
        " SELECT slug, (SELECT count(*) + 1 FROM page_history AS past WHERE past.slug = pages.slug),"
        " body, updated_by, updated_at FROM pages WHERE slug = ?",
        (slug,),
    )
