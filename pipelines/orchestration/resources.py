"""What the assets work with: one `Ingestion` per process, opened when a step first asks for it."""

from __future__ import annotations

from functools import lru_cache

import dagster as dg

from pipelines.ingestion.ingestion import Ingestion, open_ingestion
from registry.settings import Settings
from registry.verdicts import Verdict


@lru_cache(maxsize=4)
def opened(settings: Settings) -> Ingestion:
    """The process's ingestion for these settings."""
    return open_ingestion(settings)


class IngestionResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens ingestion by the environment's settings."""

    def get(self) -> Ingestion:
        """The ingestion of this process."""
        return opened(Settings())  # type: ignore[call-arg]

    def judge_run(self, tenant_id: str, run: str) -> list[Verdict]:
        """Judge what this run built; a refused candidate ends the run, so its lease goes back."""
        parts = self.get()
        candidate = parts.candidate(tenant_id, run)
        if candidate is None:
            raise dg.Failure(
                f"this run built no candidate for tenant {tenant_id}: materialise from captured_changes on",
                allow_retries=False,
            )
        found = parts.judge(tenant_id, candidate.number)
        if any(verdict.holds_back for verdict in found):
            parts.release(tenant_id, run)
        return found
