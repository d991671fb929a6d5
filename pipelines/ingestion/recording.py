"""What a build writes in the registry: its model, its candidate, its dead letters, its end."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from pipelines.build.manifest import ManifestRow, mended
from pipelines.build.staging import Staged
from pipelines.errors import IngestRefused
from pipelines.ingestion.builder import Building
from pipelines.ingestion.outcome import Outcome
from pipelines.ingestion.plan import settled
from registry import builds, dead_letters, generations, models
from registry.crash_points import crash_point
from registry.schema import Generation


def register_model(building: Building) -> None:
    """Have the model in the registry, before anything refers to it. Raises IngestRefused, TenantSuspended."""
    builder = building.builder
    with builder.registry.write() as session:
        building.fence.check(session)
        models.register(session, builder.model, builder.clock())
    crash_point("model:registered")


def begin(building: Building, rows: Sequence[ManifestRow], length_step: int) -> Generation:
    """Begin the candidate, its pins and its list of documents. Raises IngestRefused, TenantSuspended."""
    with building.builder.registry.write() as session:
        # A run that lost its lease must not abandon the candidate of the one that took over.
        building.fence.check(session)
        candidate = _candidate(session, building, length_step)
        candidate.documents = sum(row.state != "quarantined" for row in rows)
        candidate.quarantined = sum(row.state == "quarantined" for row in rows)
        candidate.chunks = sum(row.chunks for row in rows)
        listed = (row.as_row(building.tenant_id, candidate.number) for row in rows)
        generations.add_documents(session, listed)
        _record_letters(session, building, rows)
        crash_point("begin:before-commit")
    crash_point("begin:after-commit")
    return candidate


def _candidate(session: Session, building: Building, length_step: int) -> Generation:
    builder, plan = building.builder, building.plan
    return generations.begin(
        session,
        building.tenant_id,
        identity=plan.identity,
        base=building.base_number,
        build=builder.configuration.as_dict(),
        model_id=builder.model.id,
        average_length_step=length_step,
        pins=plan.pins.pins,
        fencing_token=building.fence.token,
        run=building.run,
        now=builder.clock(),
    )


def seal(building: Building, candidate: Generation, staged: Staged, outcome: Outcome) -> None:
    """Name the candidate's index by its digest, and end the build.

    Raises IngestRefused where another run took over, TenantSuspended.
    """
    encoded = outcome.as_json()
    with building.builder.registry.write() as session:
        building.fence.check(session)
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


def tried_in_vain(building: Building, rows: Sequence[ManifestRow]) -> Outcome:
    """End a build whose dead letters were tried again and failed again: what is live is all there is."""
    registry, tenant_id = building.builder.registry, building.tenant_id
    with registry.write() as session:
        building.fence.check(session)
        _record_letters(session, building, rows)
        builds.end(session, tenant_id, building.run)
    crash_point("letters:after-commit")
    with registry.read() as session:
        done = settled(session, building.tenant, tenant_id, building.plan)
    reason = "a document is to be tried again"
    return done or Outcome(building.tenant, building.base_number, "unchanged", reason=reason)


def _record_letters(session: Session, building: Building, rows: Sequence[ManifestRow]) -> None:
    failed = [row.failure for row in rows if row.failure is not None]
    recovered = mended(building.plan.documents.wanted, rows)
    dead_letters.record(session, building.tenant_id, failed, recovered, building.builder.clock())
