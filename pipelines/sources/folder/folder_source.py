"""Documents in the files of a folder, observed: a commit is what two agreeing scans saw between them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipelines.errors import SourceError, SourceUnavailable
from pipelines.sources.commit_time import from_epoch, last_time, settle
from pipelines.sources.files import is_jsonl
from pipelines.sources.folder.content import ChangingError, digest_of
from pipelines.sources.folder.differences import Differences
from pipelines.sources.folder.observation import Hashed, Observation, is_racy
from pipelines.sources.folder.scan import Scan, Stamp, scan
from pipelines.sources.options import FolderOptions
from pipelines.sources.source import Commit, Consistency, Cursor, Heads, Probe

ATTEMPTS = 5
PAUSE_SECONDS = 0.2
_DIGITS = 16


class FolderSource:
    """Reads .md .txt .rst .html .htm .pdf .docx (one document each) and .jsonl (a document a line).

    A position is the number of the observation and a digest of what was seen, such as '12-ab34…': touching
    a file does not move it, and a state that comes back is a new position.
    """

    consistency = Consistency.OBSERVED

    def __init__(
        self,
        root: Path,
        options: FolderOptions,
        clock: Callable[[], datetime],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.options = options
        self._root = root
        self._clock = clock
        self._pause = pause
        self._hashes: dict[str, Hashed] = {}  # spares hashing again what was touched, not changed

    def now(self) -> datetime:
        """Our clock: the folder is read where we run."""
        return self._clock()

    def acknowledge(self, position: str) -> None:
        """Nothing to trim: a folder keeps no log."""

    def probe(self) -> Probe:
        """Hashes every file and counts the documents. Raises SourceError as `read` does."""
        after, seen = self._observe(None)
        files = Differences(self._root, None, after, seen)
        documents = sum(files.count(key) if is_jsonl(key) else 1 for key in after.digests)
        note = f"{len(after.scan.flaws)} cannot be read" if after.scan.flaws else ""
        return Probe(_position(1, after), documents, self.consistency, note)

    def read(self, cursor: Cursor | None, heads: Heads) -> Iterator[Commit]:
        """At most one commit: what changed since the cursor. Only files with another stat are read.

        The scans must agree before the commit is made and still agree after its last change; otherwise
        SourceUnavailable is raised, from the changes if need be, and the commit must be dropped. Where files
        were touched but say the same, a commit without changes at the cursor's position keeps their stats.
        """
        before = None if cursor is None else Observation.load(cursor.state)
        after, seen = self._observe(before)
        self._refuse_other_root(before, after)
        if cursor is not None and before is not None and before.digest() == after.digest():
            if after.saves_hashing(before):
                yield self._same(cursor, after)
            return
        number = 1 if cursor is None else _number(cursor.position) + 1
        differences = Differences(self._root, before, after, seen)
        at = settle(
            from_epoch(differences.newest_time()),
            None if cursor is None else last_time(cursor.state),
            self._clock(),
        )
        yield Commit(
            position=_position(number, after),
            committed_at=at,
            changes=differences.changes(heads),
            snapshot=before is None,
            state={**after.dump(), "at": at.isoformat()},
        )

    def _same(self, cursor: Cursor, after: Observation) -> Commit:
        at = settle(last_time(cursor.state), None, self._clock())
        return Commit(cursor.position, at, (), state={**after.dump(), "at": at.isoformat()})

    def _observe(self, before: Observation | None) -> tuple[Observation, Scan]:
        """What is there, and the scan that two looks agreed on (without the flaws found while hashing)."""
        for attempt in range(ATTEMPTS):
            if attempt:
                self._pause(PAUSE_SECONDS * attempt)
            scanned_ns = int(self._clock().timestamp() * 1e9)
            seen = scan(self._root)
            try:
                observed = self._hashed(seen, before, scanned_ns)
            except ChangingError:
                continue
            if scan(self._root) == seen:
                self._hashes = {key: self._hashes[key] for key in observed.digests if key in self._hashes}
                return observed, seen
        raise SourceUnavailable(
            f"folder {self._root} keeps changing: {ATTEMPTS} pairs of scans disagreed; it is read again later"
        )

    def _hashed(self, seen: Scan, before: Observation | None, scanned_ns: int) -> Observation:
        readable = Scan(seen.root, {}, dict(seen.flaws))
        digests: dict[str, str] = {}
        for key, stamp in seen.files.items():
            try:
                digests[key] = self._digest(key, stamp, before, scanned_ns)
            except OSError as error:
                readable.flaws[key] = f"the file cannot be read: {error.strerror}"
            else:
                readable.files[key] = stamp
        self._carry(before, readable)
        return Observation(readable, digests, scanned_ns)

    def _digest(self, key: str, stamp: Stamp, before: Observation | None, scanned_ns: int) -> str:
        if before is not None and (known := before.known_digest(key, stamp)):
            return known
        hashed = self._hashes.get(key)
        if hashed is None or hashed.stamp != stamp or is_racy(stamp, hashed.scanned_ns):
            hashed = self._hashes[key] = Hashed(stamp, digest_of(self._root / key, stamp), scanned_ns)
        return hashed.digest

    @staticmethod
    def _carry(before: Observation | None, readable: Scan) -> None:
        """What is in a directory that cannot be listed now is unreadable, not gone."""
        closed = {key: reason for key, reason in readable.flaws.items() if key.endswith("/")}
        known = before.keys() if before and closed else set()
        for prefix, reason in closed.items():
            for key in known:
                if key.startswith(prefix) and key != prefix:
                    readable.flaws.setdefault(key, reason)

    def _refuse_other_root(self, before: Observation | None, after: Observation) -> None:
        """An empty folder in the place of one with documents is a mount that is gone, not a deletion."""
        if before and before.keys() and not after.keys() and before.scan.root != after.scan.root:
            raise SourceUnavailable(
                f"folder {self._root} is empty and not the directory that was read before; is it mounted? "
                "If it was replaced on purpose, put a document into it."
            )


def folder_root(uri: str) -> Path:
    """The folder that a path or a file:// URI names. Raises SourceError for other URIs."""
    if uri.startswith("file:"):
        return Path(unquote(urlsplit(uri).path)).absolute()
    if "://" in uri or not uri:
        raise SourceError(f"{uri!r} is not a folder; give a path or a file:// URI")
    return Path(uri).expanduser().absolute()


def _position(number: int, seen: Observation) -> str:
    return f"{number}-{seen.digest()[:_DIGITS]}"


def _number(position: str) -> int:
    number = position.partition("-")[0]
    if not number.isdigit():
        raise SourceError(f"{position!r} is not a position of a folder")
    return int(number)
