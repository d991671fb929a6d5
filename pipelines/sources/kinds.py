"""The kinds of sources there are. A kind's module is imported only when a source of it is opened."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pipelines.errors import SourceError
from pipelines.sources.options import FolderOptions, GitOptions, PostgresOptions, SqliteOptions, validated
from pipelines.sources.source import Disposable, Probe, Source

Clock = Callable[[], datetime]
Options = Mapping[str, str]


class _Opener(Protocol):
    def __call__(self, uri: str, options: Options, clock: Clock, cache: Path, *, prepare: bool) -> Source: ...


def _folder(uri: str, options: Options, clock: Clock, cache: Path, *, prepare: bool) -> Source:
    from pipelines.sources.folder.folder_source import FolderSource, folder_root

    return FolderSource(folder_root(uri), validated(FolderOptions, "folder", options), clock)


def _git(uri: str, options: Options, clock: Clock, cache: Path, *, prepare: bool) -> Source:
    from pipelines.sources.git.git_source import GitSource

    return GitSource(uri, validated(GitOptions, "git", options), clock, cache)


def _sqlite(uri: str, options: Options, clock: Clock, cache: Path, *, prepare: bool) -> Source:
    from pipelines.sources.sqlite.sqlite_source import SqliteSource, database_path

    source = SqliteSource(database_path(uri), validated(SqliteOptions, "sqlite", options), clock)
    if prepare:
        source.prepare()
    return source


def _postgres(uri: str, options: Options, clock: Clock, cache: Path, *, prepare: bool) -> Source:
    from pipelines.sources.postgres.postgres_source import PostgresSource

    source = PostgresSource(uri, validated(PostgresOptions, "postgres", options))
    if prepare:
        source.prepare()
    return source


KINDS: Mapping[str, _Opener] = {"folder": _folder, "git": _git, "sqlite": _sqlite, "postgres": _postgres}


def open_source(kind: str, uri: str, options: Options, clock: Clock, cache: Path) -> Source:
    """The source at `uri`, not looked at yet. `cache` is a directory for mirrors of remote repositories.

    Raises SourceError for a kind, address or option that there is not.
    """
    return _opener(kind)(uri, options, clock, cache, prepare=False)


def prepare_source(kind: str, uri: str, options: Options, clock: Clock, cache: Path) -> Probe:
    """What `source add` does once: checks that the source can be read, installs what capture needs in it.

    Raises SourceError where it cannot be read as configured.
    """
    return _opener(kind)(uri, options, clock, cache, prepare=True).probe()


def settled_options(kind: str, name: str, options: Options) -> dict[str, str]:
    """The options with what a new source needs a name of its own for: a slot and a publication at its server."""
    settled = dict(options)
    if kind == "postgres":
        plain = re.sub(r"[^a-z0-9_]", "_", name.lower())[:40]
        settled.setdefault("slot", f"holdfast_{plain}_{secrets.token_hex(4)}")
        settled.setdefault("publication", settled["slot"])
    return settled


def traces(kind: str, uri: str, options: Options) -> tuple[str, ...]:
    """What names that which capture makes at a source's place; empty where it makes nothing there."""
    if "slot" in options:
        return ("slot", options["slot"])
    if kind == "postgres":  # without `settled_options` the slot's name hangs on the address and the table
        return ("slot", uri, options["table"])
    if kind == "sqlite" and validated(SqliteOptions, "sqlite", options).install:
        return ("changelog", uri, options["table"].lower())
    return ()


def dispose_source(kind: str, uri: str, options: Options, clock: Clock, cache: Path) -> None:
    """What `source remove` does at the source: removes what capture made there.

    Raises SourceUnavailable where it cannot be reached, SourceError where that is not allowed.
    """
    source = open_source(kind, uri, options, clock, cache)
    if isinstance(source, Disposable):
        source.dispose()


def _opener(kind: str) -> _Opener:
    if kind not in KINDS:
        raise SourceError(f"there is no source kind {kind!r}; there are: {', '.join(KINDS)}")
    return KINDS[kind]
