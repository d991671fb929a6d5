"""The one consistent view of the registry that a search works on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from registry import changelog, contracts, generations, tenants
from registry.contract import Contract
from registry.schema import GenerationDocument, Source
from retrieval.errors import GenerationNotServed, NothingPublished


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A generation, what has to be hidden in it, and the contract, as of one instant."""

    tenant_id: str
    tenant: str
    generation: int
    model_id: str
    analyzer: str
    sources: dict[str, str]
    quiescent: bool
    published_at: datetime
    hidden: frozenset[tuple[str, str]]
    contract: Contract


def take(
    session: Session,
    tenant_id: str,
    as_of: int | None = None,
    serving: Callable[[int], int] | None = None,
    candidate: int | None = None,
) -> Snapshot:
    """The snapshot of a tenant's live generation, of a retained one (`as_of`), or of a candidate for the gate.

    `serving` may name the generation before while the live one is being loaded. Raises NothingPublished,
    GenerationNotServed, TenantSuspended.
    """
    tenant = tenants.find_active(session, tenant_id)
    number = candidate or as_of or tenant.live_generation
    if number is None:
        raise NothingPublished(
            f"nothing is published for tenant {tenant.name} yet: run `holdfast ingest --tenant {tenant.name}`"
        )
    if serving is not None and candidate is None and as_of is None:
        number = serving(number)
    found = next((g for g in generations.of_tenant(session, tenant.id) if g.number == number), None)
    if found is None or (as_of is not None and found.status not in generations.SERVABLE):
        state = "does not exist" if found is None else f"is {found.status}"
        kept = [g.number for g in generations.of_tenant(session, tenant.id, generations.SERVABLE)]
        raise GenerationNotServed(
            f"generation {number} of tenant {tenant.name} {state}; served are {', '.join(map(str, kept)) or 'none'}"
        )
    return Snapshot(
        tenant.id,
        tenant.name,
        number,
        found.model_id,
        str(found.build["analyzer"]),
        generations.positions(session, tenant.id, number),
        found.quiescent,
        found.published_at or found.created_at,
        _hidden(session, tenant.id, number),
        contracts.current(session, tenant.id),
    )


def _hidden(session: Session, tenant_id: str, number: int) -> frozenset[tuple[str, str]]:
    pins = {source: pin.seq for source, pin in generations.pins(session, tenant_id, number).items()}
    query = select(Source.id, Source.name, Source.removed_at).where(Source.id.in_(pins))
    sources = {source_id: (name, removed) for source_id, name, removed in session.execute(query)}
    hidden = {
        (sources[document.source_id][0], document.key)
        for document in changelog.hidden_documents(session, tenant_id, pins)
    }
    for source_id, (name, removed) in sources.items():
        if removed is not None:
            keys = select(GenerationDocument.key).where(
                GenerationDocument.tenant_id == tenant_id,
                GenerationDocument.generation == number,
                GenerationDocument.source_id == source_id,
            )
            hidden.update((name, key) for key in session.scalars(keys))
    return frozenset(hidden)
