"""Sources and whoever answers for them: which ones are orphaned, why, and what each costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipelines.source_costs import Cost, cost
from registry import contracts, owners, sources
from registry.contract import Contract
from registry.schema import Source, SuspendedOwner, Tenant, TenantCommit

NO_OWNER, OWNER_SUSPENDED = "no_owner", "owner_suspended"
TENANT_SUSPENDED, UNUSED = "tenant_suspended", "unused"


@dataclass(frozen=True, slots=True)
class OwnedSource:
    """A source, the address of its owner (its own, else the contract's; empty where there is none) and the
    reasons why it is an orphan: {code: in words}. `tenant` is None for a shared source.
    """

    name: str
    tenant: str | None
    tenant_id: str | None
    kind: str
    owner: str
    reasons: Mapping[str, str]
    cost: Cost

    @property
    def orphaned(self) -> bool:
        """Whether nobody answers for it, or nobody uses it."""
        return bool(self.reasons)

    @property
    def why(self) -> str:
        """The reasons in one line."""
        return "; ".join(self.reasons.values())


@dataclass(frozen=True, slots=True)
class _Fed:
    """A tenant that a source feeds, with its contract."""

    tenant: Tenant
    contract: Contract


def owned_sources(session: Session, index_bytes_of: Callable[[str], int], now: datetime) -> list[OwnedSource]:
    """Every source with its owner and its cost, by tenant and name; shared ones first."""
    gone, known = owners.suspended(session), cache(index_bytes_of)
    found = [_owned(session, source, gone, known, now) for source in sources.present(session)]
    return sorted(found, key=lambda source: (source.tenant or "", source.name))


def _owned(
    session: Session,
    source: Source,
    gone: Mapping[str, SuspendedOwner],
    index_bytes_of: Callable[[str], int],
    now: datetime,
) -> OwnedSource:
    fed = _fed(session, source)
    own = fed[0] if source.tenant_id is not None and fed else None
    owner = source.owner or (own.contract.owner if own else "")
    total = Cost()
    for each in fed:
        total += cost(session, source, each.tenant, index_bytes_of, now)
    return OwnedSource(
        source.name,
        own.tenant.name if own else None,
        source.tenant_id,
        source.kind,
        owner,
        _reasons(source, owner, fed, gone, now),
        total,
    )


def _fed(session: Session, source: Source) -> list[_Fed]:
    """The source's tenant, or those that a shared one has anything for."""
    shared = select(TenantCommit.scope).where(TenantCommit.source_id == source.id)
    wanted = Tenant.id == source.tenant_id if source.tenant_id is not None else Tenant.id.in_(shared)
    query = select(Tenant).where(wanted, Tenant.status != "erased").order_by(Tenant.name)
    return [_Fed(tenant, contracts.current(session, tenant.id)) for tenant in session.scalars(query)]


def _reasons(
    source: Source, owner: str, fed: list[_Fed], gone: Mapping[str, SuspendedOwner], now: datetime
) -> dict[str, str]:
    found: dict[str, str] = {}
    if not owner:
        found[NO_OWNER] = "it has no owner"
    elif (suspended := gone.get(owners.normal(owner))) is not None:
        found[OWNER_SUSPENDED] = f"its owner {owner} is suspended since {suspended.suspended_at:%Y-%m-%d}"
    whose = "its tenant" if source.tenant_id is not None else "each of its tenants"
    if fed and all(each.tenant.status != "active" for each in fed):
        found[TENANT_SUSPENDED] = f"{whose} is {fed[0].tenant.status}"
    elif (idle := _idle_days(source, fed, now)) is not None:
        found[UNUSED] = (
            f"nobody searched {whose} for {idle} days" if fed else f"it feeds no tenant since {idle} days"
        )
    return found


def _idle_days(source: Source, fed: list[_Fed], now: datetime) -> int | None:
    """Days since anybody searched any tenant that it feeds; None while a contract's idle days are not over."""
    if not fed:
        idle = now - source.created_at
        return idle.days if idle > timedelta(days=Contract().idle_days) else None
    last_uses = [(_last_use(each.tenant), each.contract.idle_days) for each in fed]
    if any(now - used <= timedelta(days=allowed) for used, allowed in last_uses):
        return None
    return (now - max(used for used, _ in last_uses)).days


def _last_use(tenant: Tenant) -> datetime:
    return tenant.last_query_at or tenant.created_at
