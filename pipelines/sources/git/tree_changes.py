"""How the files that a git commit touched become changes of documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import BytesIO
from urllib.parse import quote

from pipelines.sources.files import document, file_key, is_jsonl, size_flaw
from pipelines.sources.fingerprint import fingerprint
from pipelines.sources.git.blobs import Blobs
from pipelines.sources.git.history import Blob, FileChange
from pipelines.sources.jsonl import line_changes
from pipelines.sources.source import Change, Delete, Unreadable, Upsert


class TreeChanges:
    """Reads old and new contents from one batch. Documents' URIs are `repository/path`: stable, no commit."""

    def __init__(self, blobs: Blobs, repository: str) -> None:
        self._blobs = blobs
        self._repository = repository

    def of(self, files: Iterable[FileChange]) -> Iterator[Change]:
        """One change a key, read as it is asked for. Raises SourceUnavailable for objects git cannot give."""
        for file in files:
            if is_jsonl(file.path):
                yield from self._lines_between(file)
            elif file.after is None:
                if file.before is not None:
                    yield Delete(file_key(file.path)[0])
            elif file.before is None or self._reads_otherwise(file.before, file.after):
                yield from self._documents(file.path, file.after)

    @staticmethod
    def _reads_otherwise(before: Blob, after: Blob) -> bool:
        """Not so where only the permission bits differ, or where a link points elsewhere."""
        if before.is_link and after.is_link:
            return False
        return before.object != after.object or before.is_file != after.is_file

    def _lines_between(self, file: FileChange) -> Iterator[Change]:
        known: dict[str, str] = {}
        if file.before is not None:
            known = {change.key: fingerprint(change) for change in self._documents(file.path, file.before)}
        if file.after is not None:
            for change in self._documents(file.path, file.after):
                if known.pop(change.key, None) != fingerprint(change):
                    yield change
        for key in known:
            yield Delete(key)

    def _documents(self, path: str, blob: Blob) -> Iterator[Upsert | Unreadable]:
        key, flaw = file_key(path)
        if blob.is_link:
            flaw = flaw or "it is a symbolic link; links in a repository are not followed"
        if flaw is None and not is_jsonl(path):
            flaw = size_flaw(path, self._blobs.size(blob.object))
        if flaw is not None:
            yield Unreadable(key, flaw)
            return
        uri, content = f"{self._repository}/{quote(path)}", self._blobs.content(blob.object)
        if is_jsonl(path):
            yield from line_changes(BytesIO(content), path, uri)
        else:
            yield document(path, uri, content)
