"""The one consistent view of the registry that a search works on."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, bindparam, func, select
from sqlalchemy.orm import Session

from registry import changelog, contracts, generations, tenants
from registry.changelog import DocumentKey
from registry.contract import Contract
from registry.errors import NotFound
from registry.schema import (
    ContractVersion,
    Generation,
    GenerationDocument,
    GenerationPin,
    Publication,
    Source,
    Tenant,
)
from retrieval.errors import GenerationNotServed, NothingPublished

_CONTRACTS = 1_000
_BATCH = 500


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
    contract_hash: str


class Live(NamedTuple):
    """Where a tenant's live pointer stands. `move` grows with every publication and every rollback."""

    number: int
    move: int


def take(
    session: Session, tenant_id: str, as_of: int | None = None, candidate: int | None = None
) -> Snapshot:
    """The snapshot of a tenant's live generation, of a retained one (`as_of`), or of a candidate.

    Raises NothingPublished, GenerationNotServed, TenantSuspended, NotFound.
    """
    tenant = active_tenant(session, tenant_id)
    if candidate is not None:
        return of_generation(session, tenant, candidate)
    if as_of is not None:
        return of_generation(session, tenant, as_of, servable=True)
    return of_generation(session, tenant, _live_number(tenant))


def active_tenant(session: Session, tenant_id: str) -> Tenant:
    """The tenant of an id (or of a name), unless it is suspended. Raises TenantSuspended, NotFound."""
    found = session.get(Tenant, tenant_id)
    if found is not None and found.status == "active":
        return found
    return tenants.find_active(session, tenant_id)


def of_generation(session: Session, tenant: Tenant, number: int, *, servable: bool = False) -> Snapshot:
    """The snapshot of one generation, which must be live or retained where it is to be `servable`."""
    found = _generation(session, tenant.id, number)
    if found is None or (servable and found.status not in generations.SERVABLE):
        raise GenerationNotServed(_why_not(session, tenant, number, found.status if found else None))
    return _snapshot(session, tenant, number, found)


def of_served(
    session: Session, tenant: Tenant, served: int | Callable[[Live], int | None]
) -> tuple[Live, Snapshot | None]:
    """The live pointer and the snapshot of the generation that is served for it, if there is one.

    `served` is that generation, or says which it is. Raises NothingPublished, GenerationNotServed.
    """
    number = _live_number(tenant)
    found = _generation(session, tenant.id, number)
    live = Live(number, 0 if found is None else found.move or 0)
    answering = served if isinstance(served, int) else served(live)
    if answering is None:
        return live, None
    if found is None or answering != number:
        return live, of_generation(session, tenant, answering)
    return live, _snapshot(session, tenant, number, found)


def _live_number(tenant: Tenant) -> int:
    if tenant.live_generation is None:
        raise NothingPublished(
            f"nothing is published for tenant {tenant.name} yet: run `holdfast ingest --tenant {tenant.name}`"
        )
    return tenant.live_generation


def _snapshot(session: Session, tenant: Tenant, number: int, found: Row[Any]) -> Snapshot:
    pins = session.connection().execute(_PINS, {"tenant": tenant.id, "number": number}).all()
    return Snapshot(
        tenant.id,
        tenant.name,
        number,
        found.model_id,
        str(found.build["analyzer"]),
        {pin.name: pin.position for pin in pins},
        found.quiescent,
        found.published_at or found.created_at,
        _hidden(session, tenant.id, number, pins),
        *_contract(session, tenant.id, found.contract),
    )


def _why_not(session: Session, tenant: Tenant, number: int, status: str | None) -> str:
    state = "does not exist" if status is None else f"is {status}"
    kept = [str(g.number) for g in generations.of_tenant(session, tenant.id, generations.SERVABLE)]
    return f"generation {number} of tenant {tenant.name} {state}; served are {', '.join(kept) or 'none'}"


def _generation(session: Session, tenant_id: str, number: int) -> Row[Any] | None:
    return session.connection().execute(_GENERATION, {"tenant": tenant_id, "number": number}).first()


# Every search reads these, and to build a statement takes longer than to run it: they are built once.
_GENERATION = select(
    Generation.status,
    Generation.model_id,
    Generation.build,
    Generation.quiescent,
    Generation.published_at,
    Generation.created_at,
    select(ContractVersion.hash)
    .where(ContractVersion.tenant_id == bindparam("tenant"))
    .order_by(ContractVersion.version.desc())
    .limit(1)
    .scalar_subquery()
    .label("contract"),
    select(func.max(Publication.id))
    .where(Publication.tenant_id == bindparam("tenant"))
    .scalar_subquery()
    .label("move"),
).where(Generation.tenant_id == bindparam("tenant"), Generation.number == bindparam("number"))

_PINS = (
    select(
        GenerationPin.source_id,
        GenerationPin.seq,
        GenerationPin.position,
        Source.name,
        Source.removed_at,
        Source.last_seq,
    )
    .join(Source, Source.id == GenerationPin.source_id)
    .where(GenerationPin.tenant_id == bindparam("tenant"), GenerationPin.generation == bindparam("number"))
    .order_by(Source.name)
)


def _hidden(
    session: Session, tenant_id: str, number: int, pins: Sequence[Row[*tuple[Any, ...]]]
) -> frozenset[tuple[str, str]]:
    names = {pin.source_id: pin.name for pin in pins}
    # Where a source has no commit after the pin, nothing can have been deleted after it.
    seqs = {pin.source_id: pin.seq for pin in pins if pin.removed_at is None and pin.last_seq > pin.seq}
    deleted = changelog.hidden_documents(session, tenant_id, seqs)
    hidden = _contained(session, tenant_id, number, deleted) if deleted else set()
    removed = [pin.source_id for pin in pins if pin.removed_at is not None]
    if removed:
        query = _manifest(tenant_id, number).where(GenerationDocument.source_id.in_(removed))
        hidden.update(DocumentKey(*row) for row in session.execute(query))
    return frozenset((names[document.source_id], document.key) for document in hidden)


def _contained(
    session: Session, tenant_id: str, number: int, documents: Set[DocumentKey]
) -> set[DocumentKey]:
    """Those that are in the generation: what came and went after it is none of its documents."""
    keys = sorted({document.key for document in documents})
    of_source = GenerationDocument.source_id.in_({document.source_id for document in documents})
    found: set[DocumentKey] = set()
    for start in range(0, len(keys), _BATCH):
        batch = GenerationDocument.key.in_(keys[start : start + _BATCH])
        query = _manifest(tenant_id, number).where(of_source, batch)
        found.update(DocumentKey(*row) for row in session.execute(query))
    if not found and session.execute(_manifest(tenant_id, number).limit(1)).first() is None:
        return set(documents)  # a generation on its way out has no list of documents any more: hide too much
    return found & documents


def _manifest(tenant_id: str, number: int) -> Select[int, str]:
    return select(GenerationDocument.source_id, GenerationDocument.key).where(
        GenerationDocument.tenant_id == tenant_id, GenerationDocument.generation == number
    )


_contracts: dict[str, tuple[Contract, str]] = {}


def _contract(session: Session, tenant_id: str, stored_hash: str | None) -> tuple[Contract, str]:
    """The contract in force and its hash, parsed once: what a row is stored under covers all its values."""
    if stored_hash is None:
        raise NotFound(f"tenant {tenant_id} has no contract")
    known = _contracts.get(stored_hash)
    if known is None:
        contract = contracts.current(session, tenant_id)
        if len(_contracts) >= _CONTRACTS:
            _contracts.clear()
        known = _contracts[stored_hash] = (contract, contract.hash)
    return known
