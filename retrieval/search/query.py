"""What is asked, and what is answered, in plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from retrieval.errors import InvalidQuery
from retrieval.index.filter import Condition

Mode = Literal["hybrid", "dense", "lexical"]
MODES: tuple[Mode, ...] = get_args(Mode)
MAX_K = 1_000
MAX_QUERY_CHARACTERS = 8_192


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A query. `collapse="document"` keeps the best chunk of each document. Raises InvalidQuery.

    `filter` names metadata fields, and `source` and `document` for where a chunk is from; each has a value,
    a list of values, or a range (gte, gt, lte, lt).
    """

    text: str
    k: int = 10
    mode: Mode = "hybrid"
    collapse: Literal["document"] | None = None
    filter: Mapping[str, Condition] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise InvalidQuery("the query is empty: say what to look for")
        if len(self.text) > MAX_QUERY_CHARACTERS:
            raise InvalidQuery(
                f"the query has {len(self.text):,} characters, at most {MAX_QUERY_CHARACTERS:,} are allowed"
            )
        if not 1 <= self.k <= MAX_K:
            raise InvalidQuery(f"k is {self.k}: ask for 1 to {MAX_K:,} hits")
        if self.mode not in MODES:
            raise InvalidQuery(f"there is no mode {self.mode!r}: one of {', '.join(MODES)}")
        if self.collapse not in (None, "document"):
            raise InvalidQuery(f"hits cannot be collapsed by {self.collapse!r}: `document`, or not at all")


@dataclass(frozen=True, slots=True)
class Floor:
    """The result floor of one answer. A part that the mode does not ask for is not looked at."""

    met: bool
    best_cosine: float | None
    cosine_floor: float
    lexical_hits: int | None
    lexical_floor: int
    action: Literal["none", "flagged", "refused"]


@dataclass(frozen=True, slots=True)
class Hit:
    """One chunk. `dense_score` is the raw cosine, `lexical_score` BM25; None: not named by that side."""

    chunk_id: str
    source: str
    document: str
    title: str
    uri: str
    text: str
    score: float
    dense_score: float | None
    lexical_score: float | None
    version: str
    position: str
    stale: bool
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one generation said. `hidden_since` counts documents hidden because they were deleted after it."""

    tenant: str
    generation: int
    sources: dict[str, str]
    quiescent: bool
    age_seconds: float
    hidden_since: int
    floor: Floor
    hits: list[Hit]
    timings: dict[str, float]
    contract: str
