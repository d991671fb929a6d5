"""Rebuilding a generation's index from what the registry stores of it: nothing is parsed, nothing embedded.

For an index that no longer matches its digests (bit rot, a truncated or a lost file). The generation stays what
it was: what is built again must have the content digest that was recorded when it was published.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.orm import Session

from pipelines.build.fence import Fence
from pipelines.build.progress import Progress, Silent
from pipelines.build.staging import fill, spec_of
from pipelines.errors import IngestBusy, IngestRefused
from pipelines.ingestion.retention import remove_if_erased
from pipelines.lease_keeping import kept
from registry import generations, leases, models, tenants
from registry.clock import Clock
from registry.crash_points import crash_point
from registry.database import Registry
from registry.errors import LeaseHeld
from registry.schema import Generation, Tenant
from retrieval.errors import IndexCorrupt, IndexUnavailable
from retrieval.index.store import GenerationRef, GenerationStore

log = logging.getLogger("holdfast.rebuild")


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What became of one generation. `fault` is what was wrong with its index; empty where it is `intact`."""

    generation: int
    status: Literal["intact", "rebuilt"]
    digest: str
    chunks: int
    fault: str = ""


def rebuild(
    registry: Registry,
    store: GenerationStore,
    tenant_id: str,
    lease_seconds: float,
    clock: Clock,
    number: int | None = None,
    progress: Progress | None = None,
) -> list[Rebuilt]:
    """Rebuild every served generation of a tenant (or one of them) whose index does not open.

    Raises IngestBusy while a run ingests the tenant, IngestRefused for a generation that is neither live nor
    retained, IndexCorrupt where what is stored no longer makes the recorded digest, DiskFull.
    """
    with registry.read() as session:
        tenant = tenants.find_active(session, tenant_id)
    chosen = _chosen(registry, tenant, number)
    if not any(fault(store, generation) for generation in chosen):
        # A rebuild that was killed at its end left what it displaced; a run that is under way removes it itself.
        with suppress(IngestBusy), _leased(registry, store, tenant, lease_seconds, clock):
            store.discard_stages(tenant.id)
        return [_intact(generation) for generation in chosen]
    with _leased(registry, store, tenant, lease_seconds, clock) as fence:
        store.discard_stages(tenant.id)
        # Looked at again where nobody publishes: what could not be opened may have been retired, or rebuilt.
        done = [
            _rebuilt(registry, store, fence, generation, wrong, progress or Silent())
            if (wrong := fault(store, generation))
            else _intact(generation)
            for generation in _chosen(registry, tenant, number)
        ]
        store.discard_stages(tenant.id)
    return done


def fault(store: GenerationStore, generation: Generation) -> str:
    """What keeps a generation's index from being opened; empty where nothing does."""
    try:
        with store.open(
            GenerationRef(generation.tenant_id, generation.number), generation.model_id
        ) as reader:
            if reader.digest != generation.digest:
                return f"its content digest is {reader.digest[:12]}, recorded was {generation.digest[:12]}"
            return ""
    except (IndexCorrupt, IndexUnavailable) as error:
        return str(error)


def _chosen(registry: Registry, tenant: Tenant, number: int | None) -> list[Generation]:
    with registry.read() as session:
        tenants.find_active(session, tenant.id)
        served = generations.of_tenant(session, tenant.id, generations.SERVABLE)
    chosen = [generation for generation in served if number in (None, generation.number)]
    if number is not None and not chosen:
        kept_numbers = ", ".join(str(generation.number) for generation in served) or "none"
        raise IngestRefused(
            f"generation {number} of tenant {tenant.name} is neither live nor retained: served are {kept_numbers}"
        )
    return chosen


def _intact(generation: Generation) -> Rebuilt:
    return Rebuilt(generation.number, "intact", generation.digest, generation.chunks)


def _rebuilt(
    registry: Registry,
    store: GenerationStore,
    fence: Fence,
    generation: Generation,
    wrong: str,
    progress: Progress,
) -> Rebuilt:
    ref = GenerationRef(generation.tenant_id, generation.number)
    log.warning("%s is rebuilt: %s", ref, wrong)
    with registry.read() as session:
        dimension = models.get(session, generation.model_id).dimension
        with store.stage(ref, spec_of(generation, dimension), replace=True) as stage:
            fill(session, stage, generation, {}, progress)
            crash_point("rebuild:filled")
            with registry.write() as fenced:
                fence.check(fenced)
                _refuse_unserved(fenced, generation)
            sealed = stage.seal(expected=generation.digest)
    crash_point("rebuild:sealed")
    return Rebuilt(generation.number, "rebuilt", sealed.digest, sealed.points, wrong)


def _refuse_unserved(session: Session, generation: Generation) -> None:
    found = generations.get(session, generation.tenant_id, generation.number)
    if found.status not in generations.SERVABLE:
        raise IngestRefused(
            f"generation {found.number} of tenant {found.tenant_id} became {found.status}: it is not rebuilt"
        )


@contextmanager
def _leased(
    registry: Registry, store: GenerationStore, tenant: Tenant, seconds: float, clock: Clock
) -> Iterator[Fence]:
    lease = leases.ingest_lease(tenant.id)
    holder = leases.Holder.current(f"rebuild-{uuid.uuid4().hex[:8]}")
    try:
        with registry.write() as session:
            tenants.require_active(session, tenant.id)
            token = leases.acquire(session, lease, holder, seconds, clock())
    except LeaseHeld as error:
        raise IngestBusy(
            f"tenant {tenant.name} is being ingested: wait for that and try again ({error})"
        ) from error
    crash_point("rebuild:lease-taken")
    try:
        with kept(registry, lease, token, seconds, clock):
            yield Fence(tenant.id, token)
    except Exception:
        with registry.read() as session:
            remove_if_erased(session, store, tenant.id)
            tenants.find_active(session, tenant.id)
        raise
    finally:
        with registry.write() as session:
            leases.release(session, lease, token)
        crash_point("rebuild:lease-given-back")
