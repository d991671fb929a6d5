"""Sources that are read where they live: a folder, a git repository, an SQLite file."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from tests.acceptance.crash import homes
from tests.acceptance.crash.homes import opened
from tests.acceptance.crash.scenarios.pages import page, run_real, tree, write_pages
from tests.acceptance.crash.scenarios.scenario import upon
from tests.support.git_repository import GitRepository
from tests.support.real_sources import add_source


def folder(home: Path) -> Path:
    return home / "sources" / "folder"


def folder_read(home: Path) -> None:
    place = folder(home)
    place.mkdir(parents=True)
    write_pages(place, range(8))
    homes.migrated(home)
    with opened(home) as world:
        world.add_tenant()
        add_source(world, "folder", place)
    run_real(home)


@upon(folder_read)
def reading_folder(home: Path) -> None:
    place = folder(home)
    write_pages(place, range(3), version=2)
    (place / "d7.md").unlink()
    write_pages(place, range(8, 10))


def reading_git(home: Path) -> None:
    (home / "sources").mkdir(parents=True)
    repository = GitRepository(home / "sources" / "git")
    first = repository.commit(tree(range(8)))
    homes.migrated(home)
    with opened(home) as world:
        world.add_tenant()
        add_source(world, "git", repository.path)
    run_real(home)
    second = repository.commit(tree(range(7), {0}), (first,))
    repository.commit(tree([*range(7), 8], {0, 1}), (second,))


def wiki_of(home: Path) -> Path:
    return home / "sources" / "wiki.sqlite3"


def write_wiki(home: Path) -> None:
    place = wiki_of(home)
    place.parent.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(place)) as wiki, wiki:
        wiki.execute("CREATE TABLE pages (id TEXT PRIMARY KEY, body TEXT)")
        wiki.executemany("INSERT INTO pages VALUES (?, ?)", [(f"d{n}", page(n)) for n in range(8)])


def sqlite_read(home: Path) -> None:
    write_wiki(home)
    homes.migrated(home)
    with opened(home) as world:
        world.add_tenant()
        add_source(world, "sqlite", wiki_of(home), table="pages", key="id", body="body")
    run_real(home)


@upon(sqlite_read)
def reading_sqlite(home: Path) -> None:
    with contextlib.closing(sqlite3.connect(wiki_of(home))) as wiki:
        with wiki:
            wiki.execute("UPDATE pages SET body = ? WHERE id = 'd0'", (page(0, 2),))
            wiki.execute("DELETE FROM pages WHERE id = 'd7'")
        with wiki:
            wiki.execute("INSERT INTO pages VALUES ('d8', ?)", (page(8),))


# Preparations whose source goes on to another state, after which the one that was built can no longer be read.
OBSERVED = (folder_read, sqlite_read)
