"""What a run made of a tenant, in the names that `holdfast ingest --json` prints."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from registry.verdicts import Verdict

Status = Literal["published", "rejected", "unchanged", "held"]


@dataclass(slots=True)
class DocumentCounts:
    """Documents of the candidate and how they differ from the live generation's."""

    live: int = 0
    added: int = 0
    changed: int = 0
    deleted: int = 0
    quarantined: int = 0
    stale: int = 0


@dataclass(slots=True)
class ChunkCounts:
    """Chunks of the candidate and how they differ from the live generation's."""

    live: int = 0
    added: int = 0
    removed: int = 0
    unchanged: int = 0


@dataclass(slots=True)
class Work:
    """What the run had to do itself, and what it could remember.

    `failures` are dead letters by source. `reindexed` says why everything was built anew, where it was.
    """

    parsed: int = 0
    remembered: int = 0
    cache_hits: int = 0
    written: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    embedding_seconds: float = 0.0
    reindexed: str = ""


@dataclass(slots=True)
class Outcome:
    """One run's result."""

    tenant: str
    generation: int | None
    status: Status
    sources: dict[str, str] = field(default_factory=dict)
    quiescent: bool = True
    documents: DocumentCounts = field(default_factory=DocumentCounts)
    chunks: ChunkCounts = field(default_factory=ChunkCounts)
    embedded: int = 0
    checks: list[Verdict] = field(default_factory=list)
    seconds: float = 0.0
    reason: str = ""
    held: dict[str, list[str]] = field(default_factory=dict)
    work: Work = field(default_factory=Work)

    def as_json(self) -> dict[str, Any]:
        """The contract of `ingest --json`."""
        encoded = asdict(self)
        encoded["seconds"] = round(self.seconds, 3)
        encoded["checks"] = [check_json(verdict) for verdict in self.checks]
        return encoded


def check_json(verdict: Verdict) -> dict[str, Any]:
    """One check as people and programs see it."""
    return {
        "name": verdict.name,
        "passed": verdict.passed,
        "blocking": verdict.blocking,
        "summary": verdict.summary,
        **{name: value for name, value in verdict.details.items() if name not in ("name", "passed")},
    }
