"""The gateway client's settings, from the environment (`HOLDFAST_GATEWAY_…`): see docs/rooms/gateway_client.md."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway_client.model import Environment


class GatewaySettings(BaseSettings):
    """One process's configuration."""

    model_config = SettingsConfigDict(env_prefix="HOLDFAST_GATEWAY_", extra="ignore", frozen=True)

    url: str = Field("", description="SQLAlchemy URL of the ledger. Empty: a SQLite file in the home folder.")
    catalogue: Path | None = Field(
        None, description="Model catalogue: a TOML file or a folder of them. Empty: the shipped one."
    )
    environment: Environment = Field(
        Environment.PROD, description="Whose approved models may be called: prod, canary or staging."
    )
    durable: bool = Field(
        False, description="Survive a power cut too (SQLite): each admission waits for the disk."
    )
    interactive_deadline: float = Field(
        30.0, gt=0, description="Seconds that an interactive call may take in all."
    )
    batch_deadline: float = Field(3600.0, gt=0, description="Seconds that a batch call may take in all.")
    answer_seconds: float = Field(
        60.0, gt=0, description="Seconds in which an answer that is not streamed must be there."
    )
    first_token_seconds: float = Field(
        15.0, gt=0, description="Seconds in which a stream must have its first token."
    )
    stall_seconds: float = Field(10.0, gt=0, description="Longest silence within an answer, in seconds.")
    connect_seconds: float = Field(5.0, gt=0, description="Seconds to reach a provider.")
    drain_seconds: float = Field(
        10.0, ge=0, description="Seconds to wait for the usage of an answer whose caller is gone."
    )
    max_answer_mb: float = Field(16.0, gt=0, description="An answer larger than this is refused.")
    reply_retention: float = Field(
        86_400.0, gt=0, description="Seconds that a reply is kept for its idempotency key."
    )

    @property
    def store(self) -> str:
        """The ledger's URL, with the default filled in."""
        home = Path(os.environ.get("HOLDFAST_HOME", ".holdfast")).expanduser().absolute()
        return self.url or f"sqlite:///{home / 'gateway.sqlite3'}"


def gateway_settings() -> GatewaySettings:
    """The settings of the environment, as it is now."""
    return GatewaySettings()
