"""Building a tenant's candidate: pin, documents, chunks, vectors, index. Nothing here publishes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipelines.build.embedding import Embedding, embed_missing
from pipelines.build.fence import Fence
from pipelines.build.manifest import ManifestRow, as_in_base, manifest
from pipelines.build.preparation import Preparation, needing_preparation, prepare_documents
from pipelines.build.progress import Progress, registered
from pipelines.build.staging import Staged, stage_candidate
from pipelines.errors import PipelineError
from pipelines.ingestion import recording
from pipelines.ingestion.builder import Builder, Building
from pipelines.ingestion.outcome import ChunkCounts, DocumentCounts, Outcome, Work
from pipelines.ingestion.plan import Plan, make_plan, settled
from registry import builds, canaries, contracts, generations, tenants, verdicts
from registry.crash_points import crash_point
from registry.errors import RegistryError
from registry.schema import Generation, Source
from retrieval.expected import average_length
from retrieval.index.store import GenerationRef
from retrieval.lexical.bm25 import grid_step


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
        return _build(_begun(builder, fence, tenant.name, plan, run, progress))
    for build in cut_off:
        with builder.registry.write() as session:
            builds.end(session, tenant_id, build.run)
        crash_point("build:cut-off-ended")
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


@dataclass(frozen=True, slots=True)
class _Contents:
    """What a candidate will hold. `sources` says for which source the texts of a parsed document count."""

    rows: Sequence[ManifestRow]
    parsed_ids: Sequence[int]
    sources: Mapping[int, int]
    length_step: int

    def only_repeats(self, plan: Plan) -> bool:
        """Whether they are those of what is live, which is what dead letters that failed again come to."""
        return plan.in_place and not plan.anew and as_in_base(plan.documents.wanted, self.rows)


def _build(building: Building) -> Outcome:
    prepared = _prepare(building)
    contents = _contents(building)
    if contents.only_repeats(building.plan):
        return recording.tried_in_vain(building, contents.rows)
    recording.register_model(building)
    embedding = _embed(building, contents)
    candidate = recording.begin(building, contents.rows, contents.length_step)
    staged = _stage(building, candidate)
    outcome = _outcome(building, candidate, contents, staged)
    outcome.embedded = embedding.embedded
    outcome.work = _work(building, contents, prepared, embedding, staged)
    _seal(building, candidate, staged, outcome)
    return outcome


def _begun(builder: Builder, fence: Fence, tenant: str, plan: Plan, run: str, progress: Progress) -> Building:
    """The build, known to the registry from here on."""
    rebuilt = plan.rebuilds(builder.configuration)
    kind: builds.Kind = "reindex" if rebuilt else ("update" if plan.base else "first")
    progress = registered(progress, builder.registry, fence, run, kind, rebuilt, builder.clock)
    return Building(builder, fence, tenant, plan, run, progress)


def _prepare(building: Building) -> Preparation:
    builder, plan = building.builder, building.plan
    needed = needing_preparation(plan.documents.wanted, building.parse_hash, building.base_parse_hash)
    return prepare_documents(
        builder.registry,
        building.fence,
        [change_id for change_id in needed if change_id not in plan.dropped],
        builder.configuration,
        builder.prepare,
        building.progress,
    )


def _contents(building: Building) -> _Contents:
    plan, parse_hash = building.plan, building.parse_hash
    with building.builder.registry.read() as session:
        rows = manifest(
            session,
            building.tenant_id,
            plan.documents.wanted,
            parse_hash,
            building.base_parse_hash,
            plan.dropped,
        )
        parsed_ids = [row.parsed_id for row in rows if row.parsed_id is not None]
        step = grid_step(average_length(session, parsed_ids))
    sources = {row.parsed_id: row.source_id for row in reversed(rows) if row.parsed_id is not None}
    return _Contents(rows, parsed_ids, sources, step)


def _embed(building: Building, contents: _Contents) -> Embedding:
    builder = building.builder
    return embed_missing(
        builder.registry,
        building.fence,
        builder.model.id,
        sorted(set(contents.parsed_ids)),
        builder.encoder,
        builder.embedding_batch,
        building.progress,
        contents.sources,
        builder.clock,
    )


def _stage(building: Building, candidate: Generation) -> Staged:
    builder, plan = building.builder, building.plan
    return stage_candidate(
        builder.registry,
        builder.store,
        building.fence,
        candidate,
        plan.base,
        builder.model.dimension,
        building.progress,
        anew=plan.anew,
    )


def _seal(building: Building, candidate: Generation, staged: Staged, outcome: Outcome) -> None:
    try:
        recording.seal(building, candidate, staged, outcome)
    except (RegistryError, PipelineError):
        # Whoever took over, or erased the tenant, may have looked for this index before it was named.
        building.builder.store.remove(GenerationRef(building.tenant_id, candidate.number))
        raise


def _outcome(building: Building, candidate: Generation, contents: _Contents, staged: Staged) -> Outcome:
    pins = building.plan.pins
    with building.builder.registry.read() as session:
        positions = generations.positions(session, building.tenant_id, candidate.number)
    return Outcome(
        building.tenant,
        candidate.number,
        "published",
        sources=positions,
        quiescent=pins.quiescent,
        documents=_count(building.plan, contents.rows),
        chunks=ChunkCounts(staged.chunks, staged.added, staged.removed, staged.unchanged),
        held=pins.stopped_before,
    )


def _work(
    building: Building, contents: _Contents, prepared: Preparation, embedding: Embedding, staged: Staged
) -> Work:
    with building.builder.registry.read() as session:
        failures = _failures(session, contents.rows)
    return Work(
        parsed=prepared.prepared,
        remembered=prepared.remembered,
        cache_hits=embedding.cache_hits,
        written=staged.written,
        failures=failures,
        embedding_seconds=round(embedding.seconds, 3),
        reindexed=building.plan.rebuilds(building.builder.configuration),
    )


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
