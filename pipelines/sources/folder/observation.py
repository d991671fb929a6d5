"""The content of a folder at a moment, as far as two agreeing scans can tell; kept in the cursor."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.sources.folder.scan import Scan, Stamp

# A file written again within the tick of the file system's clock looks unchanged; so files that were
# written this shortly before a scan are hashed again at the next one (git calls them "racily clean").
RACY_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Hashed:
    """The SHA-256 of a file with this stat, found at a scan at this time."""

    stamp: Stamp
    digest: str
    scanned_ns: int


def is_racy(stamp: Stamp, scanned_ns: int) -> bool:
    """Whether the file may have changed after the scan without its stat showing it."""
    return stamp.ctime_ns >= scanned_ns - RACY_NS


@dataclass(frozen=True, slots=True)
class Observation:
    """SHA-256 of each readable file by key, and the flaws of the rest. `scanned_ns` is the scan's time."""

    scan: Scan
    digests: dict[str, str]
    scanned_ns: int

    def content(self, key: str) -> str | None:
        """What stands for the file's content: equal exactly while it reads the same."""
        if key in self.digests:
            return self.digests[key]
        return f"! {self.scan.flaws[key]}" if key in self.scan.flaws else None

    def keys(self) -> set[str]:
        return self.digests.keys() | self.scan.flaws.keys()

    def digest(self) -> str:
        """64 hex digits over keys and contents, not over times."""
        lines = [[key, self.content(key)] for key in sorted(self.keys())]
        return hashlib.sha256(json.dumps(lines).encode()).hexdigest()

    def known_digest(self, key: str, stamp: Stamp) -> str | None:
        """The digest of a file that has not been touched since this observation."""
        if self.scan.files.get(key) != stamp or is_racy(stamp, self.scanned_ns):
            return None
        return self.digests.get(key)

    def saves_hashing(self, before: Observation) -> bool:
        """Whether keeping this instead of `before` spares the next look reading some file."""
        return any(
            before.known_digest(key, stamp) is None and self.known_digest(key, stamp) is not None
            for key, stamp in self.scan.files.items()
        )

    def dump(self) -> dict[str, Any]:
        """JSON-able."""
        files = {
            key: [stamp.size, stamp.mtime_ns, stamp.ctime_ns, stamp.inode, self.digests[key]]
            for key, stamp in self.scan.files.items()
        }
        flaws = dict(self.scan.flaws)
        return {"root": list(self.scan.root), "files": files, "flaws": flaws, "scanned_ns": self.scanned_ns}

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> Observation | None:
        """None where the cursor holds no observation."""
        if "files" not in state:
            return None
        stamps = {key: Stamp(*fields[:4]) for key, fields in state["files"].items()}
        digests = {key: fields[4] for key, fields in state["files"].items()}
        device, inode = state["root"]
        return cls(Scan((device, inode), stamps, dict(state["flaws"])), digests, state["scanned_ns"])
