"""What a build is given, and one build under way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.build.configuration import BuildConfiguration, parse_hash_of
from pipelines.build.fence import Fence
from pipelines.build.prepared import Prepare
from pipelines.build.progress import Progress
from pipelines.ingestion.plan import Plan
from registry.clock import Clock
from registry.database import Registry
from retrieval.encoder.encoder import Encoder
from retrieval.encoder.identity import ModelIdentity
from retrieval.index.store import GenerationStore


@dataclass(frozen=True, slots=True)
class Builder:
    """Everything that a build needs. `encoder` is called only where a text has no vector yet."""

    registry: Registry
    store: GenerationStore
    configuration: BuildConfiguration
    model: ModelIdentity
    prepare: Prepare
    encoder: Callable[[], Encoder]
    embedding_batch: int
    clock: Clock


@dataclass(frozen=True, slots=True)
class Building:
    """One run's build of one tenant (its id is the fence's), as it was planned."""

    builder: Builder
    fence: Fence
    tenant: str
    plan: Plan
    run: str
    progress: Progress

    @property
    def tenant_id(self) -> str:
        return self.fence.tenant_id

    @property
    def parse_hash(self) -> str:
        """How documents are prepared now."""
        return self.builder.configuration.parse_hash

    @property
    def base_parse_hash(self) -> str | None:
        """How those of what is live were prepared; None where nothing is."""
        return None if self.plan.base is None else parse_hash_of(self.plan.base.build)

    @property
    def base_number(self) -> int | None:
        return None if self.plan.base is None else self.plan.base.number
