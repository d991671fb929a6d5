"""Where things lie: root/<tenant>/<number> for generations, dotted names for what is not one.

<number>/manifest.json        makes the directory a generation
<number>/lock                 held shared by readers, exclusively to remove
<number>/postings.npy         BM25 weights by term, as read back from the shard
<number>/shard/               the engine's files
.stage-<token>/               the same, being built
.removed-<token>/             on its way out
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from retrieval.index.store import GenerationRef

LOCK = "lock"
SHARD = "shard"
POSTINGS = "postings.npy"
# The engine rewrites its configuration on every opening; the lock holds nothing; the manifest checks itself.
UNDIGESTED = frozenset({"edge_config.json", LOCK, "manifest.json"})

_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_STAGE = ".stage-"
_REMOVED = ".removed-"


class Layout:
    """Paths below one root. ValueError for a tenant id that could name another directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def tenant(self, tenant: str) -> Path:
        if not _TENANT.fullmatch(tenant):
            raise ValueError(f"{tenant!r} cannot be a tenant id: letters, digits, '.', '_' and '-' only")
        return self.root / tenant

    def generation(self, ref: GenerationRef) -> Path:
        if ref.number < 1:
            raise ValueError(f"{ref}: numbers start at 1")
        return self.tenant(ref.tenant) / str(ref.number)

    def stage(self, tenant: str, token: str) -> Path:
        return self.tenant(tenant) / f"{_STAGE}{token}"

    def removed(self, tenant: str) -> Path:
        """A new name for something on its way out."""
        return self.tenant(tenant) / f"{_REMOVED}{secrets.token_hex(8)}"

    def numbers(self, tenant: str) -> list[int]:
        """Numbers of the generations, ascending."""
        return sorted(int(path.name) for path in self._entries(tenant) if path.name.isdecimal())

    def leftovers(self, tenant: str) -> list[Path]:
        """Stages and removals, of living processes and of dead ones."""
        return sorted(path for path in self._entries(tenant) if path.name.startswith((_STAGE, _REMOVED)))

    def _entries(self, tenant: str) -> list[Path]:
        try:
            return list(self.tenant(tenant).iterdir())
        except FileNotFoundError:
            return []
