"""What happened in a trial, as whoever took part saw it. Times are monotonic nanoseconds: begun, ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.acceptance.consistency.writer import Writer


@dataclass(frozen=True, slots=True)
class Served:
    """A document as it was served: its chunks' texts (in no order), and what every one of them says of it."""

    title: str
    uri: str
    metadata: Mapping[str, Any]
    version: str
    position: str
    stale: bool
    texts: tuple[str, ...]


Documents = Mapping[tuple[str, str], Served]  # by source and document


@dataclass(frozen=True, slots=True)
class Capture:
    """One look at a source that ended well."""

    source: str
    began: int
    ended: int


@dataclass(frozen=True, slots=True)
class Audited:
    """A generation's content, read from its index as soon as it was published."""

    tenant: str
    number: int
    positions: Mapping[str, str]
    quiescent: bool
    documents: Documents
    listed: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Move:
    """The live pointer was moved, by a publication or by somebody who rolled back."""

    tenant: str
    kind: Literal["publish", "rollback"]
    number: int
    began: int
    ended: int


@dataclass(frozen=True, slots=True)
class Answered:
    """Everything that a reader was told when it asked for all there is. `through` is who was asked."""

    tenant: str
    through: Literal["search", "api"]
    began: int
    ended: int
    as_of: int | None
    named: str
    generation: int
    positions: Mapping[str, str]
    hidden_since: int
    quiescent: bool
    documents: Documents


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A person confirmed the deletions that waited."""

    tenant: str
    began: int
    ended: int


@dataclass
class Record:
    """A trial. Lists are appended to by many threads.

    `sources` says which sources a tenant reads, `quiescence` is in seconds; `final` has the answers that were
    given when all was quiet; `registered` and `moved`, read at the end, have each source's captured positions
    and each tenant's moves as the registry recorded them.
    """

    seed: str
    writers: dict[str, Writer]
    sources: dict[str, tuple[str, ...]]
    quiescence: float
    captures: list[Capture] = field(default_factory=list)
    audited: dict[tuple[str, int], Audited] = field(default_factory=dict)
    moves: list[Move] = field(default_factory=list)
    answers: list[Answered] = field(default_factory=list)
    final: list[Answered] = field(default_factory=list)
    confirmed: list[Confirmed] = field(default_factory=list)
    registered: dict[str, list[str]] = field(default_factory=dict)
    moved: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    crashes: int = 0
    refused: int = 0
    rejected: int = 0
    seconds: float = 0.0
