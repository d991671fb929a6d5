"""What a sealed generation says of itself: the file that makes a directory a generation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from retrieval.errors import IndexCorrupt
from retrieval.index.store import GenerationRef, IndexSpec

FORMAT_VERSION = 3
FILE_NAME = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """digest: of the contents (see `SealedGeneration`); files: path -> digest of each file's bytes."""

    ref: GenerationRef
    spec: IndexSpec
    digest: str
    points: int
    files: Mapping[str, str]

    def write(self, directory: Path) -> None:
        """Write manifest.json with a checksum of itself."""
        body = {"format": FORMAT_VERSION, **asdict(self)}
        text = json.dumps({**body, "sha256": _checksum(body)}, indent=2, sort_keys=True)
        (directory / FILE_NAME).write_text(text + "\n", encoding="utf-8")


def read_manifest(directory: Path, ref: GenerationRef) -> Manifest:
    """The manifest of this generation. Raises IndexCorrupt where it is missing, damaged or another's."""
    try:
        body = json.loads((directory / FILE_NAME).read_text(encoding="utf-8"))
        claimed = body.pop("sha256")
        intact = claimed == _checksum(body)
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise IndexCorrupt(f"the manifest of {ref} cannot be read: {_remedy(ref)}") from error
    if not intact:
        raise IndexCorrupt(f"the manifest of {ref} does not match its checksum: {_remedy(ref)}")
    if body.get("format") != FORMAT_VERSION:
        raise IndexCorrupt(
            f"{ref} was written in index format {body.get('format')}, and this version of holdfast reads "
            f"{FORMAT_VERSION}: rebuild it with `holdfast ingest`"
        )
    manifest = Manifest(
        GenerationRef(**body["ref"]), IndexSpec(**body["spec"]), body["digest"], body["points"], body["files"]
    )
    if manifest.ref != ref:
        raise IndexCorrupt(f"the directory of {ref} holds {manifest.ref}")
    return manifest


def _checksum(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _remedy(ref: GenerationRef) -> str:
    return f"`holdfast rebuild --tenant {ref.tenant}` makes the generation again from what is stored"
