"""What an operator declares of a pool."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway_client.lanes import Lane


class PoolConfig(BaseModel):
    """One pool's promises. Counts are calls in flight, waits are seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_window: int = Field(64, ge=1, description="Most calls in flight: the capacity, where it is known.")
    initial_window: int | None = Field(None, ge=1, description="Window to begin with. Empty: the maximum.")
    headroom: int = Field(4, ge=0, description="Slots that batch never takes, its guaranteed minimum aside.")
    batch_minimum: int = Field(1, ge=0, description="Slots that batch has before anyone.")
    batch_max_wait: float = Field(
        600.0, gt=0, description="Seconds after which batch goes before interactive."
    )
    queue_interactive: int = Field(500, ge=0, description="Interactive calls that may wait.")
    queue_batch: int = Field(10_000, ge=0, description="Batch calls that may wait.")
    requests_per_minute: int | None = Field(
        None, ge=1, description="The provider's limit, where it is known."
    )
    tokens_per_minute: int | None = Field(None, ge=1, description="The provider's limit, prompt and answer.")
    retry_burst: float = Field(10.0, ge=0, description="Most retry tokens that can be saved up.")
    retry_deposit: float = Field(0.6, ge=0, le=1, description="Retry tokens that a success earns.")
    by_operator: bool = Field(False, description="Set by an operator: a catalogue does not change it.")

    @model_validator(mode="after")
    def _something_is_left_for_batch(self) -> PoolConfig:
        if self.headroom >= self.max_window and self.max_window > 1:
            raise ValueError(
                f"headroom {self.headroom} leaves batch nothing of a window of {self.max_window}"
            )
        return self

    @property
    def per_minute(self) -> dict[str, int]:
        """Declared limits of a minute, by the names under which providers tell theirs."""
        given = {"requests": self.requests_per_minute, "tokens": self.tokens_per_minute}
        return {name: limit for name, limit in given.items() if limit is not None}

    def queue(self, lane: str) -> int:
        """Calls of a lane that may wait."""
        return self.queue_batch if lane == Lane.BATCH else self.queue_interactive
