"""Building a tenant's candidate: pin, documents, chunks, vectors, index. Nothing here publishes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipelines.build.configuration import BuildConfiguration, parse_hash_of
from pipelines.build.embedding import embed_missing
from pipelines.build.fence import Fence
from pipelines.build.manifest import ManifestRow, as_in_base, manifest, mended
from pipelines.build.preparation import Prepare, needing_preparation, prepare_documents
from pipelines.build.progress import Progress, registered
from pipelines.build.staging import Staged, stage_candidate
from pipelines.errors import IngestRefused, PipelineError
from pipelines.ingestion.outcome import ChunkCounts, DocumentCounts, Outcome, Work
from pipelines.ingestion.plan import Plan, make_plan, settled
from registry import builds, canaries, contracts, dead_letters, generations, models, tenants, verdicts
from registry.clock import Clock
from registry.crash_points import crash_point
from registry.database import Registry
from registry.errors import RegistryError
from registry.schema import Generation, Source
from retrieval.encoder.encoder import Encoder
from retrieval.encoder.identity import ModelIdentity
from retrieval.expected import average_length
from retrieval.index.store import GenerationRef, GenerationStore
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


def build_candidate(
    builder: Builder, tenant_id: str, run: str, fencing_token: int, progress: Progress, *, anew: bool = False
) -> Outcome:
    """Build the next candidate of a tenant under a fencing token.

    The outcome's status is `published` where a candidate waits for the gate, else why there is none:
    `unchanged`, `held`, or `rejected` for an identity that the gate refused before and that is still the
    same under the same contract and canaries. With `anew` everything is built from nothing, changed or not.
    Raises TenantSuspended, NotFound.
    """
    with builder.registry.read() as session:
        tenant = tenants.find_active(session, tenant_id)
        if tenant.held_at is not None:
            return Outcome(tenant.name, tenant.live_generation, "held", reason=tenant.held_reason)
        plan = make_plan(session, builder.configuration, tenant_id, anew=anew)
        done = settled(session, tenant.name, tenant_id, plan)
        cut_off = builds.under_way(session, builder.clock(), tenant_id)
    fence = Fence(tenant_id, fencing_token)
    if done is None and not anew:
        done = _judged_before(builder, fence, plan, run)
    if done is None:
        return _build(builder, fence, tenant.name, plan, run, progress)
    for build in cut_off:
        with builder.registry.write() as session:
            builds.end(session, tenant_id, build.run)
    return done


def _judged_before(builder: Builder, fence: Fence, plan: Plan, run: str) -> Outcome | None:
    """A rejected candidate of the same identity: refused again, or judged again under a new contract."""
    tenant_id = fence.tenant_id
    with builder.registry.write() as session:
        fence.check(session)
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
        rejected.status, rejected.fencing_token, rejected.run = "candidate", fence.token, run
        outcome.status = "published"
    crash_point("rejudge:after-commit")
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
    fence: Fence,
    name: str,
    plan: Plan,
    run: str,
    progress: Progress,
) -> Outcome:
    tenant_id = fence.tenant_id
    parse_hash = builder.configuration.parse_hash
    base_hash = _parse_hash_of(plan.base)
    wanted = plan.documents.wanted
    rebuilt = plan.rebuilds(builder.configuration)
    kind: builds.Kind = "reindex" if rebuilt else ("update" if plan.base else "first")
    progress = registered(progress, builder.registry, fence, run, kind, rebuilt, builder.clock)
    needed = needing_preparation(wanted, parse_hash, base_hash)
    prepared = prepare_documents(
        builder.registry,
        fence,
        [change_id for change_id in needed if change_id not in plan.dropped],
        builder.configuration,
        builder.prepare,
        progress,
    )
    with builder.registry.read() as session:
        rows = manifest(session, tenant_id, wanted, parse_hash, base_hash, plan.dropped)
        parsed_ids = [row.parsed_id for row in rows if row.parsed_id is not None]
        sources = {row.parsed_id: row.source_id for row in reversed(rows) if row.parsed_id is not None}
        step = grid_step(average_length(session, parsed_ids))
    if plan.in_place and not plan.anew and as_in_base(wanted, rows):
        return _tried_in_vain(builder, fence, name, plan, rows, run)
    _register_model(builder, fence)
    embedding = embed_missing(
        builder.registry,
        fence,
        builder.model.id,
        sorted(set(parsed_ids)),
        builder.encoder,
        builder.embedding_batch,
        progress,
        sources,
        builder.clock,
    )
    candidate = _begin(builder, fence, plan, rows, step, run)
    staged = stage_candidate(
        builder.registry,
        builder.store,
        fence,
        candidate,
        plan.base,
        builder.model.dimension,
        progress,
        anew=plan.anew,
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
        prepared.prepared, prepared.remembered, embedding.cache_hits, staged.written, failures,
        round(embedding.seconds, 3), rebuilt,
    )  # fmt: skip
    try:
        _seal(builder, fence, candidate, staged, outcome)
    except (RegistryError, PipelineError):
        # Whoever took over, or erased the tenant, may have looked for this index before it was named.
        builder.store.remove(GenerationRef(tenant_id, candidate.number))
        raise
    return outcome


def _tried_in_vain(
    builder: Builder, fence: Fence, name: str, plan: Plan, rows: Sequence[ManifestRow], run: str
) -> Outcome:
    """Dead letters were tried again and failed again: what is live is all there is to publish."""
    with builder.registry.write() as session:
        fence.check(session)
        _record_letters(session, builder, fence.tenant_id, plan, rows)
        builds.end(session, fence.tenant_id, run)
    with builder.registry.read() as session:
        done = settled(session, name, fence.tenant_id, plan)
    number = plan.base.number if plan.base else None
    return done or Outcome(name, number, "unchanged", reason="a document is to be tried again")


def _record_letters(
    session: Session, builder: Builder, tenant_id: str, plan: Plan, rows: Sequence[ManifestRow]
) -> None:
    failed = [row.failure for row in rows if row.failure is not None]
    dead_letters.record(session, tenant_id, failed, mended(plan.documents.wanted, rows), builder.clock())


def _parse_hash_of(base: Generation | None) -> str | None:
    return None if base is None else parse_hash_of(base.build)


def _register_model(builder: Builder, fence: Fence) -> None:
    with builder.registry.write() as session:
        fence.check(session)
        models.register(session, builder.model, builder.clock())
    crash_point("model:registered")


def _begin(
    builder: Builder,
    fence: Fence,
    plan: Plan,
    rows: Sequence[ManifestRow],
    step: int,
    run: str,
) -> Generation:
    tenant_id = fence.tenant_id
    with builder.registry.write() as session:
        # A run that lost its lease must not abandon the candidate of the one that took over.
        fence.check(session)
        candidate = generations.begin(
            session,
            tenant_id,
            identity=plan.identity,
            base=plan.base.number if plan.base else None,
            build=builder.configuration.as_dict(),
            model_id=builder.model.id,
            average_length_step=step,
            pins=plan.pins.pins,
            fencing_token=fence.token,
            run=run,
            now=builder.clock(),
        )
        candidate.documents = sum(row.state != "quarantined" for row in rows)
        candidate.quarantined = sum(row.state == "quarantined" for row in rows)
        candidate.chunks = sum(row.chunks for row in rows)
        generations.add_documents(session, (row.as_row(tenant_id, candidate.number) for row in rows))
        _record_letters(session, builder, tenant_id, plan, rows)
        crash_point("begin:before-commit")
    crash_point("begin:after-commit")
    return candidate


def _seal(builder: Builder, fence: Fence, candidate: Generation, staged: Staged, outcome: Outcome) -> None:
    encoded = outcome.as_json()
    with builder.registry.write() as session:
        fence.check(session)
        stored = generations.get(session, candidate.tenant_id, candidate.number)
        if stored.status != "candidate":
            raise IngestRefused(
                f"generation {stored.number} of tenant {outcome.tenant} is {stored.status}: "
                "another run took over"
            )
        stored.digest = staged.digest
        stored.statistics = {name: encoded[name] for name in ("documents", "chunks", "embedded", "work")}
        builds.end(session, candidate.tenant_id, candidate.run)
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
