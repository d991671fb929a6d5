"""The changes from one observation of a folder to the next, read lazily and checked as they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from pipelines.errors import SourceUnavailable
from pipelines.sources.files import document, is_jsonl
from pipelines.sources.fingerprint import fingerprint
from pipelines.sources.folder.content import ChangingError, HashedLines, opened
from pipelines.sources.folder.observation import Observation
from pipelines.sources.folder.scan import Scan, scan
from pipelines.sources.jsonl import line_changes, line_prefix
from pipelines.sources.source import Change, Delete, Heads, Unreadable, Upsert


class Differences:
    """What changed from `before` (None: everything is new) to `after`, observed at the scan `seen`."""

    def __init__(self, root: Path, before: Observation | None, after: Observation, seen: Scan) -> None:
        self._root = root
        self._before = before
        self._after = after
        self._seen = seen
        self._reported: set[str] = set()  # unreadable, by itself or by its directory
        known = before.keys() if before else set()
        keys = sorted(known | after.keys())
        self._keys = [key for key in keys if before is None or before.content(key) != after.content(key)]

    def newest_time(self) -> float:
        """The newest mtime (seconds since 1970) of the changed files; for a deletion, of its directory."""
        stamps = self._after.scan.files
        times = [
            stamps[key].mtime_ns / 1e9 if key in stamps else self._directory_time(key) for key in self._keys
        ]
        return max(times, default=self._directory_time(""))

    def count(self, key: str) -> int:
        """How many documents a .jsonl file holds."""
        return sum(isinstance(change, Upsert) for change in self._lines(key))

    def changes(self, heads: Heads) -> Iterator[Change]:
        """One change a key. Raises SourceUnavailable where the folder is no longer what was observed."""
        for key in self._keys:
            if key in self._after.digests:
                yield from self._lines_since(key, heads) if is_jsonl(key) else self._file(key)
            elif key in self._after.scan.flaws:
                yield from self._unreadable(key, heads)
            else:
                yield from self._gone(key, heads)
        if scan(self._root) != self._seen:
            raise self._changed(self._root)

    def _file(self, key: str) -> Iterator[Change]:
        path = self._root / key
        try:
            with opened(path, self._after.scan.files[key]) as stream:
                content = stream.read()
        except (ChangingError, OSError) as error:
            raise self._changed(path) from error
        if hashlib.sha256(content).hexdigest() != self._after.digests[key]:
            raise self._changed(path)
        yield document(key, self._uri(key), content)

    def _lines(self, key: str) -> Iterator[Upsert | Unreadable]:
        path = self._root / key
        try:
            with opened(path, self._after.scan.files[key]) as stream:
                lines = HashedLines(stream)
                yield from line_changes(lines, key, self._uri(key))
        except (ChangingError, OSError) as error:
            raise self._changed(path) from error
        if lines.hexdigest() != self._after.digests[key]:
            raise self._changed(path)

    def _lines_since(self, key: str, heads: Heads) -> Iterator[Change]:
        if self._before is None:
            yield from self._lines(key)
            return
        gone = set(heads.keys(line_prefix(key)))
        for change in self._lines(key):
            gone.discard(change.key)
            if heads.fingerprint(change.key) != fingerprint(change):
                yield change
        for line in sorted(gone):
            yield Delete(line)
        if heads.fingerprint(key) is not None:  # the file itself, while it could not be read
            yield Delete(key)

    def _unreadable(self, key: str, heads: Heads) -> Iterator[Change]:
        """The file or directory, and the documents that are known to be in it."""
        reason = self._after.scan.flaws[key]
        documents = [key]
        if key.endswith("/") or is_jsonl(key):
            documents += heads.keys(key if key.endswith("/") else line_prefix(key))
        for inner in documents:
            if inner not in self._reported:
                self._reported.add(inner)
                yield Unreadable(inner, reason)

    def _gone(self, key: str, heads: Heads) -> Iterator[Change]:
        if is_jsonl(key):
            for line in list(heads.keys(line_prefix(key))):
                yield Delete(line)
        if not is_jsonl(key) or heads.fingerprint(key) is not None:
            yield Delete(key)

    def _uri(self, key: str) -> str:
        return (self._root / key).as_uri()

    def _directory_time(self, key: str) -> float:
        """Of the nearest directory above the key that still exists."""
        directory = (self._root / key).parent if key else self._root
        while directory != self._root and not directory.is_dir():
            directory = directory.parent
        try:
            return directory.stat().st_mtime
        except OSError as error:
            raise self._changed(directory) from error

    def _changed(self, path: Path) -> SourceUnavailable:
        return SourceUnavailable(
            f"folder {self._root} keeps changing: {path} changed while it was read; it is read again later"
        )
