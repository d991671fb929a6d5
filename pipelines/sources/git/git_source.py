"""Documents in a git repository: each commit on the branch's first-parent line is one commit here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from io import BytesIO
from pathlib import Path, PurePosixPath

from pipelines.errors import SourceError, SourceUnavailable
from pipelines.sources.commit_time import from_epoch, last_time, settle
from pipelines.sources.files import is_document, is_hidden, is_jsonl
from pipelines.sources.git.blobs import open_blobs
from pipelines.sources.git.history import (
    FileChange,
    Revision,
    changes,
    has_commit,
    revision,
    revisions_since,
    tree,
)
from pipelines.sources.git.location import Location, repository_name
from pipelines.sources.git.repository import Repository
from pipelines.sources.git.tree_changes import TreeChanges
from pipelines.sources.jsonl import line_changes
from pipelines.sources.options import GitOptions
from pipelines.sources.source import Change, Commit, Consistency, Cursor, Heads, Probe, Unreadable

_COMMIT_ID = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


class GitSource:
    """Reads the files that a folder would, from the branch's history. A position is a commit's id.

    Keys are paths from the repository's root, with the option `path` too. Hidden files and submodules are
    left out; a symbolic link with a document's name is Unreadable.
    """

    consistency = Consistency.TRANSACTIONAL

    def __init__(self, uri: str, options: GitOptions, clock: Callable[[], datetime], cache: Path) -> None:
        self.options = options
        self._location = Location(uri, cache)
        self._name = repository_name(uri)
        self._clock = clock

    def now(self) -> datetime:
        """Our clock: commits carry their committers' times, which are held to it."""
        return self._clock()

    def acknowledge(self, position: str) -> None:
        """Nothing to trim: the history is the log."""

    def probe(self) -> Probe:
        """The newest commit and its documents. Raises SourceError where `path` does not exist there."""
        repository, tip = self._location.open(self.options.branch)
        with self._suspecting():
            entries = list(tree(repository, tip, self.options.path))
            if self.options.path and not entries:
                raise SourceError(f"there is nothing at path {self.options.path!r} in commit {tip}")
            documents = self._count(repository, entries)
        return Probe(tip, documents, self.consistency)

    def _count(self, repository: Repository, entries: list[FileChange]) -> int:
        documents = 0
        with open_blobs(repository) as blobs:
            for file in filter(self._is_document, entries):
                if file.after and file.after.is_file and is_jsonl(file.path):
                    stream = BytesIO(blobs.content(file.after.object))
                    lines = line_changes(stream, file.path, "")
                    documents += sum(not isinstance(line, Unreadable) for line in lines)
                elif file.after and file.after.is_file:
                    documents += 1
        return documents

    def read(self, cursor: Cursor | None, heads: Heads) -> Iterator[Commit]:
        """A snapshot of the newest commit, or each commit since the cursor that touches a document.

        Of trailing commits that touch none the newest is yielded, without changes, so that the position
        reaches the branch's tip. A cursor that is not on the first-parent line gives a snapshot.
        """
        if cursor is not None and not _COMMIT_ID.fullmatch(cursor.position):
            raise SourceError(f"{cursor.position!r} is not a position of a git repository")
        repository, tip = self._location.open(self.options.branch)
        with self._suspecting():
            line = None if cursor is None else revisions_since(repository, cursor.position, tip)
        if cursor is not None and line is None and self._has_lost(repository, cursor.position):
            # A damaged mirror must not pass for a rewritten history: that would skip the commits in between.
            self._location.suspect()
            repository, tip = self._location.open(self.options.branch)
            line = revisions_since(repository, cursor.position, tip)
        with self._suspecting():
            if line is None or cursor is None:
                floor = None if cursor is None else last_time(cursor.state)
                yield from self._snapshot(repository, revision(repository, tip), floor)
            elif line:
                yield from self._line(repository, line, last_time(cursor.state))

    def _has_lost(self, repository: Repository, commit: str) -> bool:
        return self._location.is_mirrored and not has_commit(repository, commit)

    @contextmanager
    def _suspecting(self) -> Iterator[None]:
        """What was fetched and cannot be read is damaged."""
        try:
            yield
        except SourceUnavailable:
            self._location.suspect()
            raise

    def _readable(self, changes: Iterator[Change]) -> Iterator[Change]:
        with self._suspecting():
            yield from changes

    def _snapshot(self, repository: Repository, newest: Revision, floor: datetime | None) -> Iterator[Commit]:
        files = filter(self._is_document, tree(repository, newest.commit, self.options.path))
        yield from self._commits(repository, [(newest, files)], floor, snapshot=True)

    def _line(self, repository: Repository, line: list[Revision], floor: datetime | None) -> Iterator[Commit]:
        yield from self._commits(repository, self._touching(repository, line), floor, snapshot=False)

    def _touching(
        self, repository: Repository, line: list[Revision]
    ) -> Iterator[tuple[Revision, list[FileChange]]]:
        for one, files in changes(repository, line, self.options.path):
            documents = [file for file in files if self._is_document(file)]
            if documents or one is line[-1]:
                yield one, documents

    def _commits(
        self,
        repository: Repository,
        revisions: Iterable[tuple[Revision, Iterable[FileChange]]],
        floor: datetime | None,
        *,
        snapshot: bool,
    ) -> Iterator[Commit]:
        with open_blobs(repository) as blobs:
            in_tree = TreeChanges(blobs, self._name)
            for one, files in revisions:
                floor = settle(from_epoch(one.time), floor, self._clock())
                yield Commit(
                    position=one.commit,
                    committed_at=floor,
                    changes=self._readable(in_tree.of(files)),
                    snapshot=snapshot,
                    state={"at": floor.isoformat()},
                )

    def _is_document(self, file: FileChange) -> bool:
        within = PurePosixPath(file.path).relative_to(self.options.path)
        return is_document(file.path) and not is_hidden(str(within))
