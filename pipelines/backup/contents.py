"""What a backup says of itself: the file that is written last and makes a folder a backup.

<backup>/backup.json         contents and digests, with a checksum of itself
         registry.sqlite3    the registry at one instant; absent where it is on a database server
         index/              live and retained generations, as in a home
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import BackupDamaged
from retrieval.index.edge.files import digest_tree
from retrieval.index.store import GenerationRef

FORMAT = 1
FILE_NAME = "backup.json"
REGISTRY = "registry.sqlite3"
INDEX = "index"
# The engine rewrites its configuration on every opening; locks hold nothing.
UNDIGESTED = frozenset({FILE_NAME, "edge_config.json", "lock"})


@dataclass(frozen=True, slots=True)
class CopiedGeneration:
    """One generation of a backup: where it lies and the content digest that it was sealed with."""

    tenant_id: str
    generation: int
    status: str
    digest: str

    @property
    def ref(self) -> GenerationRef:
        return GenerationRef(self.tenant_id, self.generation)


@dataclass(frozen=True, slots=True)
class Contents:
    """A backup's contents. registry: `copied`, or `elsewhere` on a database server; files: path -> digest."""

    created_at: str
    registry: str
    generations: Sequence[CopiedGeneration]
    files: Mapping[str, str]

    def write(self, directory: Path) -> None:
        """Write the file that makes `directory` a backup."""
        body: dict[str, Any] = {"format": FORMAT, **asdict(self)}
        text = json.dumps({**body, "sha256": _checksum(body)}, indent=2, sort_keys=True)
        (directory / FILE_NAME).write_text(text + "\n", encoding="utf-8")


def read_contents(directory: Path) -> Contents:
    """What a folder says that it is. Raises BackupDamaged where it is no whole backup."""
    path = directory / FILE_NAME
    if not path.is_file():
        raise BackupDamaged(f"{directory} is no backup: it has no {FILE_NAME}, which is written last")
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        intact = body.pop("sha256") == _checksum(body)
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise BackupDamaged(f"{path} cannot be read: take another backup") from error
    if not intact or body.get("format") != FORMAT:
        raise BackupDamaged(f"{path} does not match its checksum, or is of another format than {FORMAT}")
    copied = [CopiedGeneration(**generation) for generation in body["generations"]]
    return Contents(body["created_at"], body["registry"], copied, body["files"])


def digests(directory: Path) -> dict[str, str]:
    """Path -> digest of everything that a backup answers for."""
    return digest_tree(directory, UNDIGESTED)


def verify(directory: Path, contents: Contents) -> None:
    """Compare every file with its digest. Raises BackupDamaged."""
    found = digests(directory)
    wrong = sorted({*found, *contents.files} - {n for n in found if found[n] == contents.files.get(n)})
    if wrong:
        raise BackupDamaged(
            f"{len(wrong)} files of {directory} do not match their digests, first {wrong[0]}: "
            "nothing was restored; use another backup"
        )


def _checksum(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
