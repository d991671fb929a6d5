"""A scripted source that holds its server's log back, as a replication slot does, until it has acknowledged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipelines.errors import SchemaDrift
from pipelines.sources.kinds import KINDS
from pipelines.sources.options import OPTIONS, SourceOptions
from pipelines.sources.source import Commit, Cursor, Heads, SlotHealth
from tests.support.scripted_source import Script, ScriptedSource

KIND = "slotted"
COMMIT_BYTES = 1000


class SlottedOptions(SourceOptions):
    """What a source with a slot is told."""

    slot: str = ""


class SlottedSource(ScriptedSource):
    """Beside its script lies `.drift` while its schema is not what it should be, `.dropped` while it has no slot."""

    def __init__(self, path: Path, clock: object) -> None:
        super().__init__(path, clock)  # type: ignore[arg-type]
        self._path = path

    def read(self, cursor: Cursor | None, heads: Heads) -> Iterator[Commit]:
        if self._path.with_suffix(".drift").exists():
            raise SchemaDrift("a column is gone")
        if cursor is not None:  # it is registered; a kill may have come before it was acknowledged
            self.acknowledge(cursor.position)
        return super().read(cursor, heads)

    def dispose(self) -> None:
        self._path.with_suffix(".dropped").touch()

    def slot_health(self) -> SlotHealth | None:
        if self._path.with_suffix(".dropped").exists():
            return None
        script = Script(self._path)
        reached = script.acknowledged.read_text(encoding="utf-8") if script.acknowledged.exists() else ""
        held_back = [line["position"] for line in script.commits() if line["position"] > reached]
        oldest = held_back[0] if held_back else reached
        return SlotHealth("slot", "reserved", COMMIT_BYTES * len(held_back), None, 10**9, oldest or "none")


def install() -> None:
    """Make the kind known to this process."""
    KINDS[KIND] = lambda uri, options, clock, cache, *, prepare: SlottedSource(Path(uri), clock)  # type: ignore[index]
    OPTIONS[KIND] = SlottedOptions  # type: ignore[index]
