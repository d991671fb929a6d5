"""Which tenants have something to apply: what the sensor and the schedule ask for runs of."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipelines.build.configuration import BuildConfiguration, identity
from pipelines.ingestion.resting import at_rest
from pipelines.pin.pins import choose_pins
from registry import canaries, contracts, dead_letters, generations, leases, tenants, verdicts
from registry.clock import Clock
from registry.database import Registry
from registry.schema import Lease, Tenant, TenantCommit


@dataclass(frozen=True, slots=True)
class Due:
    """A tenant and the identity of the generation that a run now would build."""

    tenant_id: str
    identity: str


def due_tenants(registry: Registry, configuration: BuildConfiguration, clock: Clock) -> list[Due]:
    """Active tenants, not held, not being ingested, whose next generation would be a new one."""
    with registry.read() as session:
        resting = at_rest(session, configuration)
        moving = (tenant for tenant in tenants.active(session) if tenant.id not in resting)
        found = (_due(session, tenant, configuration, clock) for tenant in moving)
        return [due for due in found if due is not None]


def _due(session: Session, tenant: Tenant, configuration: BuildConfiguration, clock: Clock) -> Due | None:
    if tenant.held_at is not None or _is_ingesting(session, tenant.id, clock):
        return None
    pins = choose_pins(session, tenant.id, clock())
    live = generations.live(session, tenant.id)
    if not pins.pins and (live is None or live.documents + live.quarantined == 0):
        return None
    rejected = session.scalars(
        select(TenantCommit.position).where(TenantCommit.scope == tenant.id, TenantCommit.hold == "rejected")
    ).all()
    decided = dead_letters.decisions(session, tenant.id)
    mark = identity(configuration, pins.pins, live.number if live else None, rejected, decided)
    if live is not None and not _differs(
        session, tenant.id, configuration, {p.source_id: p.seq for p in pins.pins}
    ):
        return None
    if _is_rejected(session, tenant.id, mark):
        return None
    return Due(tenant.id, mark)


def _differs(
    session: Session, tenant_id: str, configuration: BuildConfiguration, pins: dict[int, int]
) -> bool:
    live = generations.live(session, tenant_id)
    if live is None or live.build != configuration.as_dict():
        return True
    pinned = {s: pin.seq for s, pin in generations.pins(session, tenant_id, live.number).items()}
    return pins != pinned or dead_letters.pending(session, tenant_id, live.number)


def _is_rejected(session: Session, tenant_id: str, mark: str) -> bool:
    rejected = generations.by_identity(session, tenant_id, mark, "rejected")
    if rejected is None:
        return False
    contract = contracts.current(session, tenant_id).hash
    canary = canaries.set_hash(canaries.of_tenant(session, tenant_id))
    return bool(verdicts.of_candidate(session, tenant_id, rejected.digest, contract, canary))


def _is_ingesting(session: Session, tenant_id: str, clock: Clock) -> bool:
    lease = session.get(Lease, leases.ingest_lease(tenant_id))
    if lease is None or lease.expires_at is None or lease.expires_at <= clock():
        return False
    return not leases.Holder.decode(lease.holder).is_dead()
