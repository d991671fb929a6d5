"""What the routes share: one process's registry, index, encoders, and what it remembers between requests."""

from __future__ import annotations

from dataclasses import dataclass

from anyio import CapacityLimiter

from registry.clock import Clock
from registry.settings import Settings
from retrieval.api.housekeeping import Housekeeping
from retrieval.api.metrics import ApiMetrics
from retrieval.api.readiness import Readiness
from retrieval.api.serving import ServingGenerations
from retrieval.api.usage import Usage
from retrieval.opening import Retrieval

SEARCH_THREADS = 32


@dataclass(frozen=True, slots=True)
class Service:
    """The parts of one API process. `searching` bounds the threads that searches take, so that searches
    which wait for a model leave some to probes and scrapes.
    """

    parts: Retrieval
    clock: Clock
    readiness: Readiness
    serving: ServingGenerations
    metrics: ApiMetrics
    usage: Usage
    housekeeping: Housekeeping
    searching: CapacityLimiter

    @classmethod
    def of(cls, settings: Settings, parts: Retrieval, clock: Clock) -> Service:
        """The service over opened parts. Nothing runs before `begin`."""
        serving = ServingGenerations(parts.registry, parts.store, parts.encoders)
        usage = Usage(parts.registry, clock)
        return cls(
            parts,
            clock,
            Readiness(parts, settings.embedding_model),
            serving,
            ApiMetrics(parts.registry, clock),
            usage,
            Housekeeping((serving.refresh, usage.flush)),
            CapacityLimiter(SEARCH_THREADS),
        )

    def begin(self) -> None:
        """Load the model and keep house, each in the background."""
        self.readiness.begin()
        self.housekeeping.begin()

    def close(self) -> None:
        """Let go of everything."""
        self.housekeeping.end()
        self.serving.close()
        self.parts.close()
