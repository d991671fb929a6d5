"""Building a tenant's candidate: pin, documents, chunks, vectors, index. Nothing here publishes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipelines.build.configuration import BuildConfiguration, identity, parse_hash_of
from pipelines.build.documents import DocumentSet, document_set
from pipelines.build.embedding import embed_missing
from pipelines.build.manifest import ManifestRow, manifest
from pipelines.build.preparation import Prepare, needing_preparation, prepare_documents
from pipelines.build.progress import Progress
from pipelines.build.staging import Staged, stage_candidate
from pipelines.errors import IngestRefused
from pipelines.ingestion.outcome import ChunkCounts, DocumentCounts, Outcome, Work
from pipelines.pin.pins import Pins, choose_pins
from registry import canaries, contracts, generations, leases, models, tenants, verdicts
from registry.clock import Clock
from registry.crash_points import crash_point
from registry.database import Registry
from registry.schema import Generation, Source, TenantCommit
from retrieval.encoder.encoder import Encoder
from retrieval.encoder.identity import ModelIdentity
from retrieval.expected import average_length
from retrieval.index.store import GenerationStore
from retrieval.lexical.bm25 import grid_step

log = logging.getLogger("holdfast.ingest")


@dataclass(frozen=True, slots=True)
class Builder:
    """Everything that a build needs. `encoder` is called only where a text has no vector yet."""

    registry: Registry
    store: GenerationStore
    configuration: BuildConfiguration
    model: ModelIdentity
    prepare: Prepare
    encoder: Callable[[], Encoder]
    embedding_batch: int
    clock: Clock


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run decided to build, from one snapshot of the registry."""

    pins: Pins
    identity: str
    base: Generation | None
    documents: DocumentSet


def build_candidate(
    builder: Builder, tenant_id: str, run: str, fencing_token: int, progress: Progress
) -> Outcome:
    """Build the next candidate of a tenant under a fencing token.

    The outcome's status is `published` where a candidate waits for the gate, else why there is none:
    `unchanged`, `held`, or `rejected` for an identity that the gate refused before and that is still the
    same under the same contract and canaries. Raises TenantSuspended, NotFound.
    """
    with builder.registry.read() as session:
        tenant = tenants.find_active(session, tenant_id)
        if tenant.held_at is not None:
            return Outcome(tenant.name, tenant.live_generation, "held", reason=tenant.held_reason)
        plan = _plan(session, builder, tenant_id)
        settled = _settled(session, builder, tenant.name, tenant_id, plan)
    if settled is not None:
        return settled
    again = _judged_before(builder, tenant_id, plan, fencing_token, run)
    if again is not None:
        return again
    return _build(builder, tenant_id, tenant.name, plan, run, fencing_token, progress)


def _plan(session: Session, builder: Builder, tenant_id: str) -> Plan:
    base = generations.live(session, tenant_id)
    pins = choose_pins(session, tenant_id, builder.clock())
    rejected = session.scalars(
        select(TenantCommit.position).where(TenantCommit.scope == tenant_id, TenantCommit.hold == "rejected")
    ).all()
    mark = identity(builder.configuration, pins.pins, base.number if base else None, rejected)
    return Plan(pins, mark, base, document_set(session, tenant_id, base, pins.pins))


def _settled(session: Session, builder: Builder, name: str, tenant_id: str, plan: Plan) -> Outcome | None:
    """The outcome where there is nothing to build."""
    base = plan.base
    outcome = Outcome(name, base.number if base else None, "unchanged", held=plan.pins.stopped_before)
    if base is not None:
        outcome.sources = generations.positions(session, tenant_id, base.number)
        outcome.quiescent = base.quiescent
        counted = DocumentCounts(**base.statistics.get("documents", {}))
        outcome.documents = DocumentCounts(
            live=base.documents, quarantined=counted.quarantined, stale=counted.stale
        )
        outcome.chunks = ChunkCounts(live=base.chunks, unchanged=base.chunks)
        outcome.checks = verdicts.of_generation(session, tenant_id, base.number)
    if not plan.pins.pins and (base is None or not plan.documents.gone):
        outcome.reason = _why_nothing(plan)
    elif base is None or not _same(session, builder, base, plan):
        return None
    if plan.pins.stopped_before:
        outcome.status = "held"
        outcome.reason = "deletions wait for a person: `holdfast deletion list`"
    elif not outcome.reason and plan.pins.waiting:
        outcome.reason = _why_nothing(plan)
    return outcome


def _why_nothing(plan: Plan) -> str:
    if plan.pins.waiting:
        return f"waiting for a quiet point of {', '.join(plan.pins.waiting)}"
    return "no source has captured anything for this tenant yet"


def _same(session: Session, builder: Builder, base: Generation, plan: Plan) -> bool:
    pinned = generations.pins(session, base.tenant_id, base.number)
    return (
        {pin.source_id: pin.seq for pin in plan.pins.pins} == {s: pin.seq for s, pin in pinned.items()}
        and base.build == builder.configuration.as_dict()
        and not plan.documents.gone
    )


def _judged_before(
    builder: Builder, tenant_id: str, plan: Plan, fencing_token: int, run: str
) -> Outcome | None:
    """A rejected candidate of the same identity: refused again, or judged again under a new contract."""
    with builder.registry.write() as session:
        rejected = generations.by_identity(session, tenant_id, plan.identity, "rejected")
        if rejected is None:
            return None
        contract = contracts.current(session, tenant_id).hash
        canary = canaries.set_hash(canaries.of_tenant(session, tenant_id))
        found = verdicts.of_candidate(session, tenant_id, rejected.digest, contract, canary)
        if not found and rejected.removed_at is not None:
            return None
        outcome = _outcome_of(session, rejected, "rejected", found)
        if found:
            outcome.reason = (
                f"generation {rejected.number} was rejected and neither its pins, its configuration, "
                "the contract nor the canaries changed since"
            )
            return outcome
        rejected.status, rejected.fencing_token, rejected.run = "candidate", fencing_token, run
        outcome.status = "published"
        return outcome


def _outcome_of(
    session: Session, generation: Generation, status: str, found: Sequence[verdicts.Verdict]
) -> Outcome:
    name = tenants.find(session, generation.tenant_id).name
    stored = generation.statistics
    return Outcome(
        name,
        generation.number,
        status,  # type: ignore[arg-type]
        sources=generations.positions(session, generation.tenant_id, generation.number),
        quiescent=generation.quiescent,
        documents=DocumentCounts(**stored.get("documents", {})),
        chunks=ChunkCounts(**stored.get("chunks", {})),
        checks=list(found),
    )


def _build(
    builder: Builder,
    tenant_id: str,
    name: str,
    plan: Plan,
    run: str,
    fencing_token: int,
    progress: Progress,
) -> Outcome:
    parse_hash = builder.configuration.parse_hash
    base_hash = _parse_hash_of(plan.base)
    wanted = plan.documents.wanted
    prepared = prepare_documents(
        builder.registry,
        tenant_id,
        needing_preparation(wanted, parse_hash, base_hash),
        builder.configuration,
        builder.prepare,
        progress,
    )
    with builder.registry.read() as session:
        rows = manifest(session, tenant_id, wanted, parse_hash, base_hash)
        parsed_ids = [row.parsed_id for row in rows if row.parsed_id is not None]
        step = grid_step(average_length(session, parsed_ids))
    _register_model(builder)
    embedding = embed_missing(
        builder.registry,
        tenant_id,
        builder.model.id,
        sorted(set(parsed_ids)),
        builder.encoder,
        builder.embedding_batch,
        progress,
    )
    candidate = _begin(builder, tenant_id, plan, rows, step, run, fencing_token)
    staged = stage_candidate(
        builder.registry, builder.store, candidate, plan.base, builder.model.dimension, progress
    )
    outcome = Outcome(name, candidate.number, "published", held=plan.pins.stopped_before)
    outcome.quiescent = plan.pins.quiescent
    outcome.documents = _count(plan, rows)
    outcome.chunks = ChunkCounts(staged.chunks, staged.added, staged.removed, staged.unchanged)
    outcome.embedded = embedding.embedded
    with builder.registry.read() as session:
        outcome.sources = generations.positions(session, tenant_id, candidate.number)
        failures = _failures(session, rows)
    outcome.work = Work(
        prepared.prepared, prepared.remembered, embedding.cache_hits, staged.written, failures
    )
    _seal(builder, candidate, staged, outcome)
    return outcome


def _parse_hash_of(base: Generation | None) -> str | None:
    return None if base is None else parse_hash_of(base.build)


def _register_model(builder: Builder) -> None:
    with builder.registry.write() as session:
        models.register(session, builder.model, builder.clock())


def _begin(
    builder: Builder,
    tenant_id: str,
    plan: Plan,
    rows: Sequence[ManifestRow],
    step: int,
    run: str,
    fencing_token: int,
) -> Generation:
    with builder.registry.write() as session:
        # A run that lost its lease must not abandon the candidate of the one that took over.
        _refuse_if_fenced(session, tenant_id, fencing_token)
        candidate = generations.begin(
            session,
            tenant_id,
            identity=plan.identity,
            base=plan.base.number if plan.base else None,
            build=builder.configuration.as_dict(),
            model_id=builder.model.id,
            average_length_step=step,
            pins=plan.pins.pins,
            fencing_token=fencing_token,
            run=run,
            now=builder.clock(),
        )
        candidate.documents = sum(row.state != "quarantined" for row in rows)
        candidate.quarantined = sum(row.state == "quarantined" for row in rows)
        candidate.chunks = sum(row.chunks for row in rows)
        generations.add_documents(session, (row.as_row(tenant_id, candidate.number) for row in rows))
        crash_point("begin:before-commit")
    crash_point("begin:after-commit")
    return candidate


def _refuse_if_fenced(session: Session, tenant_id: str, fencing_token: int) -> None:
    if not leases.is_current(session, leases.ingest_lease(tenant_id), fencing_token):
        raise IngestRefused(f"another run took over the ingestion of tenant {tenant_id}: this one ends here")


def _seal(builder: Builder, candidate: Generation, staged: Staged, outcome: Outcome) -> None:
    encoded = outcome.as_json()
    with builder.registry.write() as session:
        stored = generations.get(session, candidate.tenant_id, candidate.number)
        if stored.status != "candidate":
            raise IngestRefused(
                f"generation {stored.number} of tenant {outcome.tenant} is {stored.status}: "
                "another run took over"
            )
        stored.digest = staged.digest
        stored.statistics = {name: encoded[name] for name in ("documents", "chunks", "embedded", "work")}
        crash_point("seal:before-commit")
    crash_point("seal:after-commit")


def _count(plan: Plan, rows: Sequence[ManifestRow]) -> DocumentCounts:
    return DocumentCounts(
        live=sum(row.state != "quarantined" for row in rows),
        added=plan.documents.added,
        changed=plan.documents.changed,
        deleted=len(plan.documents.gone),
        quarantined=sum(row.failed for row in rows),
        stale=sum(row.state == "stale" for row in rows),
    )


def _failures(session: Session, rows: Sequence[ManifestRow]) -> dict[str, int]:
    failed = Counter(row.source_id for row in rows if row.failed)
    names = {source.id: source.name for source in session.scalars(select(Source))}
    return {names[source_id]: count for source_id, count in failed.items()}
