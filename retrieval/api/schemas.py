"""Requests and responses of the API, as OpenAPI shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from retrieval.search.query import MAX_K, MAX_QUERY_CHARACTERS


class SearchRequest(BaseModel):
    """A search within the tenant of the key. There is no field for a tenant, on purpose."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"query": "how often are brake discs inspected?", "k": 5}]},
    )

    query: str = Field(description="What to look for, in words.", max_length=MAX_QUERY_CHARACTERS)
    k: int = Field(10, strict=True, ge=1, le=MAX_K, description="How many hits, 1 to 1,000.")
    mode: Literal["hybrid", "dense", "lexical"] = "hybrid"
    collapse: Literal["document"] | None = Field(
        None, description="`document`: the best chunk of each document."
    )
    filter: dict[str, Any] = Field(
        default_factory=dict,
        description="Metadata fields (also `source`, `document`): a value, a list of values of which one "
        "must match, or a range {gte, gt, lte, lt} of numbers or ISO 8601 times. All must hold.",
    )
    as_of: int | None = Field(
        None,
        strict=True,
        ge=1,
        le=2**31 - 1,
        description="The number of a retained generation to ask instead of the live one.",
    )


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
    """The answer of one generation, minus what was deleted since."""

    request_id: str
    tenant: str
    generation: int
    sources: dict[str, str] = Field(description="The generation's position in each source, by name.")
    quiescent: bool = Field(description="Whether every position is a quiet point.")
    age_seconds: float = Field(description="Seconds since the generation was published.")
    hidden_since: int = Field(description="Documents hidden since the generation because they were deleted.")
    floor: FloorResponse
    hits: list[HitResponse]
    timings: dict[str, float] = Field(description="Milliseconds by stage.")


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


class ContractResponse(BaseModel):
    """The contract in force, value by value, with its version and hash."""

    model_config = ConfigDict(extra="allow")

    version: int
    hash: str


class StatusResponse(BaseModel):
    """What a probe wants to hear."""

    status: Literal["ok", "ready"]


class ErrorDetail(BaseModel):
    """What went wrong. `code` is stable; `message` says what to do next."""

    model_config = ConfigDict(extra="allow")

    code: str
    message: str
    request_id: str


class ErrorResponse(BaseModel):
    """The one shape of every error."""

    error: ErrorDetail
