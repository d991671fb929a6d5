"""One ingestion as a run of the Dagster job, in this process, and what the registry says it came to."""

from __future__ import annotations

import logging
import re
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.dagster_instance import opened_dagster
from cli.errors import RunFailed
from cli.failures import INTERRUPTION, code_of
from pipelines.alerts.delivery import deliver_all
from pipelines.build.progress import Progress
from pipelines.capture.health import source_health
from pipelines.errors import IngestBusy
from pipelines.ingestion.outcome import check_json
from registry import contracts, deletions, generations, leases, runs, tenants, verdicts
from registry.clock import utc_now
from registry.database import Registry
from registry.schema import Lease, Tenant
from registry.settings import Settings

if TYPE_CHECKING:
    from dagster import ExecuteInProcessResult
    from dagster_shared.error import SerializableErrorInfo
    from sqlalchemy.orm import Session

log = logging.getLogger("holdfast.ingest")


@dataclass(frozen=True, slots=True)
class Ingested:
    """What a run came to, in the names of `ingest --json`, and sources that could not be read."""

    outcome: dict[str, Any]
    unreadable: list[str]

    @property
    def accepted(self) -> bool:
        """Whether nothing said no: a source that is down turns only a run that changed nothing into a no."""
        status = self.outcome["status"]
        refused = any(check["blocking"] and not check["passed"] for check in self.outcome["checks"])
        return status == "published" or (status == "unchanged" and not self.unreadable and not refused)


def ingest(
    registry: Registry, settings: Settings, tenant_name: str, progress: Progress, *, anew: bool = False
) -> Ingested:
    """Run the job `ingest` for one tenant and wait for it; with `anew` it builds everything from nothing.

    Raises NotFound, TenantSuspended, IngestBusy where another run ingests the tenant, RunFailed where the
    run ended without an outcome.
    """
    started = time.perf_counter()
    with registry.read() as session:
        tenant = tenants.find_active(session, tenant_name)
        _refuse_busy(session.get(Lease, leases.ingest_lease(tenant.id)), tenant)
    result = _run(registry, settings, tenant.id, progress, anew)
    outcome = _outcome(registry, tenant, result)
    outcome["seconds"] = round(time.perf_counter() - started, 3)
    deliver_all(registry, utc_now)
    with registry.read() as session:
        outcome["held_deletions"] = _held(session, tenant.id) if outcome["held"] else []
        health = source_health(session, tenant.id, utc_now())
    return Ingested(outcome, [f"{source.name}: {source.summary}" for source in health if not source.healthy])


def _held(session: Session, tenant_id: str) -> list[dict[str, Any]]:
    """Commits whose deletions wait: what each would take away of how many documents that are live."""
    live = generations.live(session, tenant_id)
    share = contracts.current(session, tenant_id).mass_deletion_share
    return [
        {
            "source": held.source,
            "position": held.commit.position,
            "committed_at": held.commit.committed_at,
            "deletes": len(held.documents),
            "of": generations.count_documents(session, tenant_id, live.number, held.source_id) if live else 0,
            "allowed_share": share,
        }
        for held in deletions.held(session, tenant_id)
    ]


def _refuse_busy(lease: Lease | None, tenant: Tenant) -> None:
    """Say at once what the build step would find out after loading everything."""
    if lease is None or lease.expires_at is None or lease.expires_at <= utc_now():
        return
    holder = leases.Holder.decode(lease.holder)
    if not holder.is_dead():
        raise IngestBusy(
            f"another ingest of tenant {tenant.name} is running (process {holder.pid} on {holder.host}): "
            "wait for it and try again"
        )


def _run(
    registry: Registry, settings: Settings, tenant_id: str, progress: Progress, anew: bool
) -> ExecuteInProcessResult:
    from pipelines.definitions import definitions
    from pipelines.orchestration.build_assets import REINDEX_TAG
    from pipelines.orchestration.partitions import synchronise
    from pipelines.orchestration.progress import driven_by

    with opened_dagster(settings) as instance, driven_by(progress):
        synchronise(instance, registry)
        job = definitions.resolve_job_def("ingest")
        return job.execute_in_process(
            run_config=_console_config(),
            partition_key=tenant_id,
            instance=instance,
            raise_on_error=False,
            run_id=str(uuid.uuid4()),
            tags={
                "holdfast/asked_by": "holdfast reindex" if anew else "holdfast ingest",
                **({REINDEX_TAG: "true"} if anew else {}),
            },
        )


def _console_config() -> dict[str, Any]:
    """Dagster's own console log says all that it records: only for whoever debugs."""
    level = "DEBUG" if log.isEnabledFor(logging.DEBUG) else "CRITICAL"
    return {"loggers": {"console": {"config": {"log_level": level}}}}


def _outcome(registry: Registry, tenant: Tenant, result: ExecuteInProcessResult) -> dict[str, Any]:
    with registry.read() as session:
        outcome = runs.outcome(session, result.run_id)
        if outcome is None:
            raise _failure(result, tenant)
        if outcome["status"] == "unchanged" and outcome["generation"] is not None:
            # It may have been judged again, under a contract or canaries that changed since.
            again = verdicts.of_generation(session, tenant.id, outcome["generation"])
            return outcome | {"checks": [check_json(verdict) for verdict in again]}
        if outcome["status"] != "published":
            return outcome
        built = generations.get(session, tenant.id, outcome["generation"])
        found = verdicts.of_generation(session, tenant.id, built.number)
    outcome["checks"] = [check_json(verdict) for verdict in found]
    if built.published_at is not None:
        return outcome
    if built.status != "rejected":
        raise _failure(result, tenant)
    refusing = [f"{verdict.name}: {verdict.summary}" for verdict in found if verdict.holds_back]
    return outcome | {"status": "rejected", "reason": "; ".join(refusing)}


def _failure(result: ExecuteInProcessResult, tenant: Tenant) -> Exception:
    """The first step's failure, as the error that it was."""
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data is not None and data.user_failure_data.description:
                return RunFailed("run_failed", f"{event.step_key}: {data.user_failure_data.description}")
            if data.error is not None:
                return step_error(event.step_key or "", data.error)
    return RunFailed(
        "run_failed", f"the run {result.run_id} for tenant {tenant.name} failed: see the Dagster UI"
    )


def step_error(step: str, error: SerializableErrorInfo) -> Exception:
    """What our own code raised in a step, out of the errors that Dagster put around it."""
    while error.cause is not None and (error.cls_name or "").startswith("Dagster"):
        error = error.cause
    name = error.cls_name or "Error"
    text = re.sub(r"^[\w.]+: ", "", " ".join(error.message.split()))
    if name == IngestBusy.__name__:
        return IngestBusy(text)
    if name == "DagsterExecutionInterruptedError":
        return RunFailed(
            INTERRUPTION, "interrupted, nothing was published: the next ingest goes on from here"
        )
    return RunFailed(code_of(name), f"{step}: {text}")
