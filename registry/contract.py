"""The contract of a tenant: what it is promised, and what a check holds its index to."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from registry.errors import InvalidContract

Share = Annotated[float, Field(ge=0, le=1)]


class LaneBudget(BaseModel):
    """What a lane may spend a month on LLM calls. None means no limit of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: int | None = Field(None, ge=0)
    micro_dollars: int | None = Field(None, ge=0)


class Contract(BaseModel):
    """One version of a tenant's contract. Its hash goes into verdicts and traces."""

    # Infinity is no JSON: PostgreSQL would refuse to store it.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    k: int = Field(10, ge=1, le=100, description="How deep recall@k and MRR look.")
    recall_floor: Share = Field(0.7, description="A candidate whose recall@k is below is not published.")
    mrr_floor: Share = Field(0.4, description="A candidate whose MRR@k is below is not published.")
    allowed_drop: Share = Field(
        0.05, description="How far recall@k or MRR@k may fall below the live generation's, measured now."
    )
    result_floor_cosine: float = Field(
        0.25, ge=-1, le=1, description="Raw cosine that the best hit of a query must reach."
    )
    result_floor_lexical: int = Field(
        1, ge=0, description="Lexical hits that a query must have; 0 leaves this part out."
    )
    on_floor_unmet: Literal["flag", "refuse"] = Field(
        "flag", description="What a query below the result floor gets: a flagged answer or a refusal."
    )
    chunk_drop: Share = Field(
        0.1, description="Share of chunks that may go without a deletion or an edit to explain it."
    )
    mass_deletion_share: Share = Field(
        0.2, description="Share of what is served of a source whose deletion waits for a person."
    )
    quarantine_share: Share = Field(
        0.1, description="Share of documents in quarantine that turns a check red."
    )
    freshness_seconds: float = Field(
        86_400, gt=0, description="Age of the oldest unpublished commit that turns `fresh` red."
    )
    p95_ms: float = Field(
        500, gt=0, description="Target for the 95th percentile of a search, in milliseconds."
    )
    retained_generations: int = Field(
        3, ge=1, le=50, description="Generations kept beside the live one, for rollback and as_of."
    )
    fusion: Literal["dbsf", "rrf"] = Field("dbsf", description="How dense and lexical lists are fused.")
    dense_weight: float = Field(1.0, ge=0, description="Weight of the dense list in the fusion.")
    lexical_weight: float = Field(1.0, ge=0, description="Weight of the lexical list in the fusion.")
    candidates: int = Field(200, ge=10, le=2_000, description="Chunks that each side puts forward.")
    canary_coverage: Share = Field(
        0.9, description="Share of canaries whose documents must be in the index, deleted ones aside."
    )
    canary_sample: int = Field(20, ge=1, le=1_000, description="Canaries asked a day.")
    roll_back_on_canary_failure: bool = Field(
        False, description="Step back one generation when a daily canary is red."
    )
    idle_days: float = Field(
        30, gt=0, description="Days without a query after which sources count as orphaned."
    )
    budgets: dict[Literal["interactive", "batch"], LaneBudget] = Field(
        default_factory=dict, description="Monthly LLM budgets by lane (interactive, batch)."
    )
    redaction: Literal["none", "mask"] = Field("none", description="Redaction of traces and samples.")
    alert_webhook: str | None = Field(
        None, description="URL that alerts are POSTed to; the log always gets them."
    )
    owner: str = Field("", description="E-mail of whoever answers for this tenant.")

    @property
    def hash(self) -> str:
        """64 hex digits over every value."""
        encoded = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(encoded.encode()).hexdigest()

    def changed(self, values: dict[str, Any]) -> Contract:
        """A contract with these values. Raises InvalidContract naming each value that does not fit."""
        try:
            return Contract.model_validate({**self.model_dump(), **values})
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise InvalidContract(f"the contract does not hold together: {faults}") from error
