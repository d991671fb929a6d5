"""Requests and responses of the API, as OpenAPI shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class SearchRequest(BaseModel):
    """A search within the tenant of the key. There is no field for a tenant, on purpose."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"query": "how often are brake discs inspected?", "k": 5}]},
    )

    query: str = Field(description="What to look for, in words.")
    k: int = Field(10, description="How many hits, 1 to 1,000.")
    mode: Literal["hybrid", "dense", "lexical"] = "hybrid"
    collapse: Literal["document"] | None = Field(None, description="`document`: the best chunk of each document.")
    filter: dict[str, Any] = Field(
        default_factory=dict,
        description="Metadata fields (also `source`, `document`): a value, a list of values, or a range {gte, gt, lte, lt}.",
    )
    as_of: int | None = Field(None, description="The number of a retained generation to ask instead of the live one.")


class FloorResponse(BaseModel):
    """The result floor of this answer."""

    met: bool
    action: Literal["none", "flagged", "refused"]
    best_cosine: float | None
    cosine_floor: float
    lexical_hits: int | None
    lexical_floor: int


class HitResponse(BaseModel):
    """One chunk. `stale` marks the last good version of a document whose newest one cannot be read."""

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


class SearchResponse(BaseModel):
    """The answer of one generation, minus what was deleted since (`hidden_since` documents)."""

    request_id: str
    tenant: str
    generation: int
    sources: dict[str, str]
    quiescent: bool
    age_seconds: float
    hidden_since: int
    floor: FloorResponse
    hits: list[HitResponse]
    timings: dict[str, float]


class GenerationResponse(BaseModel):
    """One generation of the tenant."""

    generation: int
    status: str
    sources: dict[str, str]
    quiescent: bool
    documents: int
    quarantined: int
    chunks: int
    model: str
    published_at: datetime | None
    created_at: datetime


class ErrorDetail(BaseModel):
    """What went wrong. `code` is stable; `message` says what to do next."""

    model_config = ConfigDict(extra="allow")

    code: str
    message: str
    request_id: str


class ErrorResponse(BaseModel):
    """The one shape of every error."""

    error: ErrorDetail
