"""A source whose commits are lines of a file: what a test says happened, when, and whether it can be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pipelines.errors import SourceUnavailable
from pipelines.sources.kinds import KINDS
from pipelines.sources.options import OPTIONS, SourceOptions
from pipelines.sources.source import (
    Change,
    Commit,
    Consistency,
    Cursor,
    Delete,
    Heads,
    Probe,
    Unreadable,
    Upsert,
)

KIND = "scripted"


class Script:
    """The file: a commit a line. Whoever has the path can append to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch(exist_ok=True)

    def append(
        self,
        at: datetime,
        upserts: Mapping[str, str | dict[str, Any]] | None = None,
        deletes: tuple[str, ...] | list[str] = (),
        unreadable: Mapping[str, str] | None = None,
        *,
        snapshot: bool = False,
    ) -> str:
        """Add a commit and give its position. An upsert is a text, or Upsert's fields (content as text)."""
        position = f"c{len(self.commits()) + 1:04d}"
        changes: list[list[Any]] = [
            ["upsert", key, {"content": value} if isinstance(value, str) else value]
            for key, value in (upserts or {}).items()
        ]
        changes += [["delete", key] for key in deletes]
        changes += [["unreadable", key, reason] for key, reason in (unreadable or {}).items()]
        line = {"position": position, "at": at.isoformat(), "snapshot": snapshot, "changes": changes}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        return position

    def commits(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").split("\n") if line]

    def fail(self, why: str) -> None:
        """From now on the source cannot be read; an empty reason mends it."""
        self._failure.write_text(why, encoding="utf-8")

    @property
    def failure(self) -> str:
        return self._failure.read_text(encoding="utf-8") if self._failure.exists() else ""

    @property
    def _failure(self) -> Path:
        return self.path.with_suffix(".failure")

    @property
    def acknowledged(self) -> Path:
        return self.path.with_suffix(".acknowledged")


class ScriptedSource:
    """Reads a script: first the whole as one snapshot, then commit by commit."""

    consistency = Consistency.TRANSACTIONAL

    def __init__(self, path: Path, clock: Callable[[], datetime]) -> None:
        self._script = Script(path)
        self._clock = clock

    def now(self) -> datetime:
        return self._clock()

    def probe(self) -> Probe:
        commits = self._commits()
        return Probe(commits[-1].position if commits else "", 0, self.consistency)

    def acknowledge(self, position: str) -> None:
        self._script.acknowledged.write_text(position, encoding="utf-8")

    def read(self, cursor: Cursor | None, heads: Heads) -> Iterator[Commit]:
        commits = self._commits()
        if cursor is None and commits:
            yield _folded(commits)
        elif cursor is not None:
            yield from (commit for commit in commits if commit.position > cursor.position)

    def _commits(self) -> list[Commit]:
        if self._script.failure:
            raise SourceUnavailable(self._script.failure)
        return [
            Commit(
                line["position"],
                datetime.fromisoformat(line["at"]),
                [_change(*change) for change in line["changes"]],
                snapshot=line["snapshot"],
            )
            for line in self._script.commits()
        ]


def install() -> None:
    """Make the kind known to this process."""
    KINDS[KIND] = lambda uri, options, clock, cache, *, prepare: ScriptedSource(Path(uri), clock)  # type: ignore[index]
    OPTIONS[KIND] = SourceOptions  # type: ignore[index]


def uninstall() -> None:
    KINDS.pop(KIND)  # type: ignore[attr-defined]
    OPTIONS.pop(KIND)  # type: ignore[attr-defined]


def _change(op: str, key: str, value: Any = None) -> Change:
    if op == "delete":
        return Delete(key)
    if op == "unreadable":
        return Unreadable(key, value)
    given = {"title": "", "uri": f"test:{key}", "media_type": "text/plain", **value}
    return Upsert(key=key, **{**given, "content": given["content"].encode()})


def _folded(commits: list[Commit]) -> Commit:
    state: dict[str, Change] = {}
    for commit in commits:
        if commit.snapshot:
            state.clear()
        for change in commit.changes:
            if isinstance(change, Delete):
                state.pop(change.key, None)
            else:
                state[change.key] = change
    newest = commits[-1]
    return Commit(newest.position, newest.committed_at, list(state.values()), snapshot=True)
