"""What capture would know of a source: its commits folded into a state, in memory and checked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from pipelines.sources.fingerprint import fingerprint
from pipelines.sources.source import Commit, Cursor, Delete, Source, Unreadable, Upsert
from registry.source_rows import KeptRow


def utc_now() -> datetime:
    return datetime.now(UTC)


class MemoryRows:
    """The rows that a source had kept."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], KeptRow] = {}

    def with_identity(
        self, relation: str, identities: Iterable[str], *, bodies: bool = True
    ) -> Iterator[KeptRow]:
        for identity in identities:
            if row := self.kept.get((relation, identity)):
                yield row if bodies else replace(row, body=None)

    def with_key(self, relation: str, keys: Iterable[str]) -> Iterator[KeptRow]:
        wanted = set(keys)
        yield from (r for r in self.every(relation, bodies=True) if r.key in wanted)

    def with_link(self, relation: str, links: Iterable[str]) -> Iterator[KeptRow]:
        wanted = set(links)
        yield from (r for r in self.every(relation, bodies=True) if r.link in wanted)

    def every(self, relation: str, *, bodies: bool = False) -> Iterator[KeptRow]:
        for row in list(self.kept.values()):
            if row.relation == relation:
                yield row if bodies else replace(row, body=None)

    def apply(self, commit: Commit) -> None:
        if commit.snapshot:
            self.kept.clear()
        for row in commit.rows:
            if isinstance(row, KeptRow):
                self.kept[row.relation, row.identity] = row
            else:
                del self.kept[row.relation, row.identity]


class Captured:
    """`Heads` over a fold of commits. A commit is applied whole or not at all."""

    def __init__(self) -> None:
        self.documents: dict[str, Upsert | Unreadable] = {}
        self.cursor: Cursor | None = None
        self.commits: list[Commit] = []
        self.changes: list[list[Upsert | Unreadable | Delete]] = []
        self.rows = MemoryRows()

    def keys(self, prefix: str = "") -> Iterator[str]:
        return iter(sorted(key for key in self.documents if key.startswith(prefix)))

    def fingerprint(self, key: str) -> str | None:
        return fingerprint(self.documents[key]) if key in self.documents else None

    def erased(self, label: str | None) -> bool:
        return False

    def apply(self, commit: Commit) -> None:
        after = {} if commit.snapshot else dict(self.documents)
        changes = list(commit.changes)
        keys = [change.key for change in changes]
        assert len(keys) == len(set(keys)), f"{commit.position} changes a key twice: {sorted(keys)}"
        for change in changes:
            if isinstance(change, Delete):
                assert not commit.snapshot
                assert change.key in after, f"{change.key} was never there"
                del after[change.key]
            else:
                fingerprint(change)  # raises for what the registry could not store
                after[change.key] = change
        self._check_time(commit)
        self.rows.apply(commit)
        self.documents = after
        self.cursor = Cursor(commit.position, json.loads(json.dumps(commit.state)))
        self.commits.append(commit)
        self.changes.append(changes)

    def catch_up(self, source: Source, *, acknowledge: bool = True) -> int:
        """Reads the source to its end; how many commits that took."""
        before = len(self.commits)
        for commit in source.read(self.cursor, self):
            self.apply(commit)
            if acknowledge:
                source.acknowledge(commit.position)
        for commit in self.commits[before:]:
            assert commit.committed_at <= source.now()
        return len(self.commits) - before

    def texts(self) -> dict[str, str]:
        """Contents by key, of the documents that could be read."""
        return {
            key: document.content.decode()
            for key, document in self.documents.items()
            if isinstance(document, Upsert)
        }

    def flaws(self) -> dict[str, str]:
        """Reasons by key, of those that could not."""
        return {
            key: document.reason
            for key, document in self.documents.items()
            if isinstance(document, Unreadable)
        }

    def _check_time(self, commit: Commit) -> None:
        assert commit.committed_at.utcoffset() is not None
        if self.commits:
            assert commit.committed_at >= self.commits[-1].committed_at


def snapshot(source: Source) -> Captured:
    """A fresh first read."""
    captured = Captured()
    assert captured.catch_up(source, acknowledge=False) == 1
    assert captured.commits[0].snapshot
    return captured
