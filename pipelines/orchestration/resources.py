"""What the assets work with: one `Ingestion` per process, opened when a step first asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

import dagster as dg

from pipelines.ingestion.ingestion import Ingestion, open_ingestion
from registry.settings import Settings
from registry.verdicts import Verdict


@lru_cache(maxsize=4)
def opened(settings: Settings) -> Ingestion:
    """The process's ingestion for these settings."""
    return open_ingestion(settings)


@contextmanager
def released_unless_published(parts: Ingestion, tenant_id: str, run: str) -> Iterator[Callable[[], None]]:
    """A step between a tenant's lease and its publication: gives the lease back on a failure, or on request."""

    def release() -> None:
        parts.release(tenant_id, run)

    try:
        yield release
    except BaseException:
        release()
        raise


class IngestionResource:
    """Opens ingestion by the environment's settings."""

    def get(self) -> Ingestion:
        """The ingestion of this process."""
        return opened(Settings())

    def judge_run(self, tenant_id: str, run: str) -> list[Verdict]:
        """Judge what this run built, or what is live under a changed contract.

        A refused candidate, or a crash, ends the run, so its lease goes back.
        """
        parts = self.get()
        with released_unless_published(parts, tenant_id, run) as release:
            candidate = parts.candidate(tenant_id, run)
            number = candidate.number if candidate else parts.unjudged(tenant_id)
            if number is None:
                raise dg.Failure(
                    f"this run built no candidate for tenant {tenant_id}: materialise from captured_changes on",
                    allow_retries=False,
                )
            found = parts.judge(tenant_id, number)
            if any(verdict.holds_back for verdict in found):
                release()
        return found
