"""What a run decides to build: at which pins, of which documents, and whether there is anything to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipelines.build.configuration import BuildConfiguration, differences, identity
from pipelines.build.documents import DocumentSet, document_set
from pipelines.ingestion.outcome import ChunkCounts, DocumentCounts, Outcome
from pipelines.pin.pins import Pins, choose_pins
from registry import dead_letters, generations, verdicts
from registry.schema import Generation, TenantCommit


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run decided to build, from one snapshot of the registry.

    `in_place`: pins, configuration and documents are those of what is live.
    """

    pins: Pins
    identity: str
    base: Generation | None
    documents: DocumentSet
    dropped: Mapping[int, str]
    anew: bool
    in_place: bool

    def rebuilds(self, configuration: BuildConfiguration) -> str:
        """Why everything is built from nothing beside what is live; empty where a difference is enough."""
        if self.base is None:
            return ""
        changed = differences(self.base.build, configuration.as_dict())
        return changed or ("asked for" if self.anew else "")


def make_plan(session: Session, configuration: BuildConfiguration, tenant_id: str, *, anew: bool) -> Plan:
    """Choose pins and documents, and give the identity of what they come to."""
    base = generations.live(session, tenant_id)
    pins = choose_pins(session, tenant_id)
    rejected = session.scalars(
        select(TenantCommit.position).where(TenantCommit.scope == tenant_id, TenantCommit.hold == "rejected")
    ).all()
    decided = dead_letters.decisions(session, tenant_id)
    mark = identity(configuration, pins.pins, base.number if base else None, rejected, decided)
    documents = document_set(session, tenant_id, base, pins.pins)
    in_place = base is not None and not documents.gone and _same_place(session, configuration, base, pins)
    return Plan(pins, mark, base, documents, dead_letters.dropped(session, tenant_id), anew, in_place)


def settled(session: Session, name: str, tenant_id: str, plan: Plan) -> Outcome | None:
    """The outcome of a tenant (its name and id) where there is nothing to build; None where there is."""
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
    elif base is None or plan.anew or not plan.in_place or _to_try_again(session, base):
        return None
    if plan.pins.stopped_before:
        outcome.status = "held"
        outcome.reason = "deletions wait for a person: `holdfast deletion list`"
    elif not outcome.reason and plan.pins.waiting:
        outcome.reason = _why_nothing(plan)
    return outcome


def _to_try_again(session: Session, base: Generation) -> bool:
    return dead_letters.pending(session, base.tenant_id, base.number)


def _why_nothing(plan: Plan) -> str:
    if plan.pins.waiting:
        return f"waiting for a quiet point of {', '.join(plan.pins.waiting)}"
    return "no source has captured anything for this tenant yet"


def _same_place(session: Session, configuration: BuildConfiguration, base: Generation, pins: Pins) -> bool:
    pinned = generations.pins(session, base.tenant_id, base.number)
    return {pin.source_id: pin.seq for pin in pins.pins} == {
        s: pin.seq for s, pin in pinned.items()
    } and base.build == configuration.as_dict()
