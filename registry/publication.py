"""The live pointer: the one place that moves it, and the conditions under which it may be moved."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from registry import canaries, contracts, generations, leases, verdicts
from registry.crash_points import crash_point
from registry.errors import PublicationRefused, RollbackRefused
from registry.locking import FOR_UPDATE, lock_tenant
from registry.schema import Generation, Publication, Tenant


@dataclass(frozen=True, slots=True)
class Published:
    """What a publication did."""

    generation: int
    replaced: int | None
    retired: tuple[int, ...]


def publish(session: Session, tenant_id: str, number: int, now: datetime) -> Published:
    """Make a candidate live, within the caller's one write transaction.

    Raises PublicationRefused unless the tenant is active and not held, the candidate is one, its base is
    still live, its run's fencing token is current, and every check passed on its digest under the contract
    and the canaries in force now. Raises NotFound where there is no such generation.
    """
    tenant = lock_tenant(session, tenant_id)
    candidate = generations.get(session, tenant_id, number)
    session.refresh(candidate, with_for_update=FOR_UPDATE)
    _refuse_unless_publishable(session, tenant, candidate)
    replaced = tenant.live_generation
    _set_status(session, tenant_id, replaced, "retained")
    candidate.status, candidate.published_at = "live", now
    tenant.live_generation = number
    session.add(Publication(tenant_id=tenant_id, generation=number, kind="publish", at=now))
    session.flush()
    crash_point("publish:before-commit")
    return Published(number, replaced, _retire(session, tenant, replaced))


def _refuse_unless_publishable(session: Session, tenant: Tenant, candidate: Generation) -> None:
    what = f"generation {candidate.number} of tenant {tenant.name}"
    if tenant.status != "active":
        raise PublicationRefused(
            "tenant_suspended", f"{what} is not published: the tenant is {tenant.status}"
        )
    if tenant.held_at is not None:
        raise PublicationRefused(
            "held",
            f"{what} is not published: ingestion is held ({tenant.held_reason}); "
            "`holdfast resume` releases it",
        )
    if candidate.status != "candidate":
        raise PublicationRefused("not_a_candidate", f"{what} is {candidate.status}, not a candidate")
    if candidate.base != tenant.live_generation:
        raise PublicationRefused(
            "stale_base",
            f"{what} was built on generation {candidate.base}, but {tenant.live_generation} is live now: "
            "ingest again",
        )
    if not leases.is_current(session, leases.ingest_lease(tenant.id), candidate.fencing_token):
        raise PublicationRefused("fenced", f"{what} was built by a run that another one has taken over")
    _refuse_unless_judged(session, tenant, candidate, what)


def _refuse_unless_judged(session: Session, tenant: Tenant, candidate: Generation, what: str) -> None:
    contract_hash = contracts.current(session, tenant.id).hash
    canary_hash = canaries.set_hash(canaries.of_tenant(session, tenant.id))
    # What is not sealed has no digest yet, and so no verdict that could be its own.
    sealed = candidate.digest != ""
    found = (
        verdicts.of_candidate(session, tenant.id, candidate.digest, contract_hash, canary_hash)
        if sealed
        else []
    )
    missing = set(verdicts.CHECKS) - {verdict.name for verdict in found}
    if missing:
        raise PublicationRefused(
            "not_judged",
            f"{what} has no verdict of {', '.join(sorted(missing))} "
            "under the contract and canaries in force: ingest again",
        )
    failed = [verdict.name for verdict in found if verdict.holds_back]
    if failed:
        raise PublicationRefused("checks_failed", f"{what} failed {', '.join(failed)}")


def _retire(session: Session, tenant: Tenant, replaced: int | None) -> tuple[int, ...]:
    keep = contracts.current(session, tenant.id).retained_generations
    retained = generations.of_tenant(session, tenant.id, ["retained"])
    # After a rollback the generation just replaced is not the newest, yet it is the one known to be good.
    retained.sort(key=lambda generation: generation.number != replaced)
    for generation in retained[keep:]:
        generation.status = "retired"
    return tuple(generation.number for generation in retained[keep:])


def _set_status(session: Session, tenant_id: str, number: int | None, status: str) -> None:
    session.execute(
        update(Generation)
        .where(Generation.tenant_id == tenant_id, Generation.number == number)
        .values(status=status)
    )


def roll_back(
    session: Session, tenant_id: str, now: datetime, to: int | None = None, reason: str = ""
) -> int:
    """Point back to a retained generation and hold ingestion. Raises RollbackRefused where there is none.

    Unless `to` says which, it is the one that the live generation replaced, else the newest older one.
    """
    tenant = lock_tenant(session, tenant_id)
    retained = [generation.number for generation in generations.of_tenant(session, tenant_id, ["retained"])]
    target = _one_step_back(session, tenant, retained) if to is None else to
    if target is not None and target == tenant.live_generation:
        raise RollbackRefused(f"generation {target} of tenant {tenant.name} is live already")
    if target is None or target not in retained:
        wanted = "an older generation" if to is None else f"generation {to}"
        raise RollbackRefused(
            f"tenant {tenant.name} does not retain {wanted}; retained: {retained or 'none'}"
        )
    _set_status(session, tenant_id, tenant.live_generation, "retained")
    _set_status(session, tenant_id, target, "live")
    reason = reason or f"rolled back from generation {tenant.live_generation} to {target}"
    tenant.live_generation, tenant.held_at, tenant.held_reason = target, now, reason
    session.add(Publication(tenant_id=tenant_id, generation=target, kind="rollback", reason=reason, at=now))
    session.flush()
    crash_point("rollback:before-commit")
    return target


def _one_step_back(session: Session, tenant: Tenant, retained: list[int]) -> int | None:
    # Not simply the newest older one: that may be what somebody rolled back from before.
    live = generations.live(session, tenant.id)
    if live is None:
        return None
    older = [number for number in retained if number < live.number]
    return live.base if live.base in older else (older[0] if older else None)


def resume(session: Session, tenant_id: str, now: datetime) -> bool:
    """Release a hold; False where there was none."""
    tenant = lock_tenant(session, tenant_id)
    if tenant.held_at is None:
        return False
    tenant.held_at, tenant.held_reason = None, ""
    session.add(
        Publication(tenant_id=tenant_id, generation=tenant.live_generation or 0, kind="resume", at=now)
    )
    session.flush()
    crash_point("resume:before-commit")
    return True


def moves(session: Session, tenant_id: str) -> list[Publication]:
    """Every move of the pointer, oldest first."""
    query = select(Publication).where(Publication.tenant_id == tenant_id).order_by(Publication.id)
    return list(session.scalars(query))
