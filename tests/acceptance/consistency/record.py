"""What happened in a trial, as whoever took part saw it. Times are monotonic nanoseconds: begun, ended.

A source that is removed and added again is another one under the same name: its label has a number after `#`.
"""

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


FOREVER = 2**63
Documents = Mapping[tuple[str, str], Served]  # by source and document


def name_of(label: str) -> str:
    """The source's name, as readers are told it."""
    return label.partition("#")[0]


@dataclass(frozen=True, slots=True)
class Capture:
    """One look at a source that ended well."""

    source: str
    began: int
    ended: int


@dataclass(frozen=True, slots=True)
class Audited:
    """A generation's content, read from its index as soon as it was published; sources are labels in it."""

    tenant: str
    number: int
    base: int | None
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
class Decided:
    """A person confirmed or rejected the deletions that waited."""

    tenant: str
    decision: Literal["confirmed", "rejected"]
    began: int
    ended: int


@dataclass(slots=True)
class Ended:
    """A source was removed, or a tenant erased. Until it is known to be over, `ended` is the end of time."""

    began: int
    ended: int = FOREVER


@dataclass
class Record:
    """A trial. Lists are appended to by many threads.

    `sources` says which sources a tenant reads or read, `quiescence` is in seconds; `again` has what an erased
    tenant's namesake was served first, `final` the answers that were given when all was quiet. `registered` and
    `moved`, read at the end (of a tenant that is erased: before that), have each source's captured positions and
    each tenant's moves as the registry recorded them.
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
    decided: list[Decided] = field(default_factory=list)
    removed: dict[str, Ended] = field(default_factory=dict)
    erased: dict[str, Ended] = field(default_factory=dict)
    again: dict[str, Audited | None] = field(default_factory=dict)
    registered: dict[str, list[str]] = field(default_factory=dict)
    moved: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    crashes: int = 0
    refused: int = 0
    rejected: int = 0
    seconds: float = 0.0

    def present(self, tenant: str) -> list[str]:
        """The sources that a tenant has and that were not removed."""
        return [label for label in self.sources[tenant] if label not in self.removed]
