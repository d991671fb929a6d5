"""A model as the catalogue knows it: what it is exactly, what it can do, and what it costs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Literal

from gateway_client.errors import KeyMissing, VersionMismatch
from gateway_client.messages import Usage

MILLION = 1_000_000
LONGEST_VERSION = 100
WireFormat = Literal["openai", "anthropic"]


class Environment(StrEnum):
    """Where a model is approved to answer."""

    PROD = "prod"
    CANARY = "canary"
    STAGING = "staging"


class Capability(StrEnum):
    """What a model can be asked for."""

    CHAT = "chat"
    EMBEDDINGS = "embeddings"
    STREAMING = "streaming"
    TOOLS = "tools"
    JSON_SCHEMA = "json_schema"
    IMAGES = "images"
    SAMPLING = "sampling"  # temperature and the like
    SEED = "seed"
    DIMENSIONS = "dimensions"


@dataclass(frozen=True, slots=True)
class Prices:
    """Micro-dollars per million tokens. A cache's price that a provider does not name is the input's."""

    input: int
    output: int
    cache_read: int
    cache_write: int

    def cost(self, usage: Usage) -> int:
        """What an attempt costs in micro-dollars, rounded up once, on the sum."""
        total = (
            usage.input * self.input
            + usage.output * self.output
            + usage.cache_read * self.cache_read
            + usage.cache_write * self.cache_write
        )
        return -(-total // MILLION)

    def most(self, prompt: int, output: int) -> int:
        """The most that `prompt` tokens in and `output` tokens out can cost, in micro-dollars."""
        dearest = max(self.input, self.cache_read, self.cache_write)
        return -(-(prompt * dearest + output * self.output) // MILLION)


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model under one name. `version` is the provider's exact name, sent and expected back;
    `reports` are further names under which the provider answers for it."""

    name: str
    provider: str
    format: WireFormat
    version: str
    base_url: str
    api_key_env: str | None
    context_window: int
    max_output: int
    prices: Prices
    capabilities: frozenset[Capability]
    pool: str
    approved: frozenset[Environment]
    fallbacks: tuple[str, ...] = ()
    retires: date | None = None
    reports: tuple[str, ...] = ()
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    tokens_per_byte: float = 1.0

    def can(self, capability: Capability) -> bool:
        """Whether the model can be asked for this."""
        return capability in self.capabilities

    def cost(self, usage: Usage) -> int:
        """What an attempt with this usage costs, in micro-dollars."""
        return self.prices.cost(usage)

    def most(self, prompt: int, output: int) -> int:
        """The most that an attempt can cost, in micro-dollars: what to reserve."""
        return self.prices.most(prompt, output)

    def answers_as(self, reported: str | None) -> bool:
        """Whether a version that a provider reports is this model."""
        return reported == self.version or reported in self.reports

    def verify(self, reported: str | None) -> None:
        """Raises VersionMismatch unless the provider reports the pinned version."""
        if not self.answers_as(reported):
            said = f"version {reported[:LONGEST_VERSION]!r}" if reported else "no version"
            raise VersionMismatch(
                f"{self.provider} answered for {self.name!r} with {said}; pinned is {self.version!r}. "
                f"Pin what it reports, or list that name under `reports` if it is the same model"
            )

    def key(self, environment: Mapping[str, str] | None = None) -> str:
        """The provider's key from the environment; empty where none is needed. Raises KeyMissing."""
        if self.api_key_env is None:
            return ""
        found = (os.environ if environment is None else environment).get(self.api_key_env, "").strip()
        if not found:
            raise KeyMissing(
                f"{self.name!r} needs the key of {self.provider}: set {self.api_key_env} in the environment"
            )
        return found
