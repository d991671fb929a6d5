"""Staging: the candidate's index, made from its base by difference and checked against the engine itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy.orm import Session

from pipelines.build.fence import Fence
from pipelines.build.progress import Progress
from registry.crash_points import crash_point
from registry.database import Registry
from registry.schema import Generation
from retrieval.errors import IndexCorrupt, IndexUnavailable
from retrieval.expected import expected_ids, expected_points
from retrieval.index.point import IndexPoint
from retrieval.index.store import GenerationRef, GenerationStore, IndexSpec, Stage

log = logging.getLogger("holdfast.ingest")

BATCH = 512


@dataclass(frozen=True, slots=True)
class Staged:
    """A sealed candidate: its content digest and how its chunks differ from its base's."""

    digest: str
    chunks: int
    added: int
    removed: int
    unchanged: int
    written: int


def spec_of(generation: Generation, dimension: int) -> IndexSpec:
    """What a generation's index is stamped with."""
    return IndexSpec(
        model=generation.model_id,
        dimension=dimension,
        average_length_step=generation.average_length_step,
        analyzer=str(generation.build["analyzer"]),
    )


def stage_candidate(
    registry: Registry,
    store: GenerationStore,
    fence: Fence,
    candidate: Generation,
    base: Generation | None,
    dimension: int,
    progress: Progress,
    *,
    anew: bool = False,
) -> Staged:
    """Build and seal the candidate's index. Killed at any instant, it leaves nothing that is served.

    It is made from the base's by difference; from nothing where the configuration changed, or `anew`.

    Raises IngestRefused where the run was fenced off, TenantSuspended, DiskFull.
    """
    ref = GenerationRef(candidate.tenant_id, candidate.number)
    can_copy = base is not None and not anew and _can_copy(candidate, base)
    copied = GenerationRef(base.tenant_id, base.number) if base and can_copy else None
    with registry.read() as session, _begun(store, ref, spec_of(candidate, dimension), copied) as stage:
        before = stage.digests()
        base_ids = set(before) or (expected_ids(session, base) if base else set())
        seen, written = fill(session, stage, candidate, before, progress, lambda: _go_on(registry, fence))
        crash_point("stage:before-seal")
        _go_on(registry, fence)
        sealed = stage.seal()
    crash_point("stage:after-seal")
    return Staged(
        sealed.digest,
        sealed.points,
        len(seen - base_ids),
        len(base_ids - seen),
        len(seen & base_ids),
        written,
    )


def _go_on(registry: Registry, fence: Fence) -> None:
    with registry.write() as session:
        fence.check(session)


def fill(
    session: Session,
    stage: Stage,
    generation: Generation,
    before: dict[str, str],
    progress: Progress,
    before_batch: Callable[[], object] = lambda: None,
) -> tuple[set[str], int]:
    """Make a stage that holds `before` (chunk id -> digest) hold a generation's points: all ids, how many written.

    `before_batch` may raise to stop the work.
    """
    progress.begin("index", generation.chunks)
    seen: set[str] = set()
    written = 0
    for batch in _batches(_changed(expected_points(session, generation), before, seen, progress)):
        before_batch()
        stage.upsert(batch)
        written += len(batch)
    _delete_gone(stage, before, seen)
    return seen, written


def _begun(store: GenerationStore, ref: GenerationRef, spec: IndexSpec, base: GenerationRef | None) -> Stage:
    try:
        return store.stage(ref, spec, base)
    except (IndexCorrupt, IndexUnavailable) as error:
        if base is None:
            raise
        # A damaged live index must not stand in the way of the one that replaces it.
        log.warning("%s is built from nothing, because its base cannot be copied: %s", ref, error)
        return store.stage(ref, spec)


def _can_copy(candidate: Generation, base: Generation) -> bool:
    # Another step of the average length changes every lexical weight, another model every vector; any other
    # change of the configuration is a full rebuild too, so that nothing of what it replaces is carried over.
    return candidate.average_length_step == base.average_length_step and candidate.build == base.build


def _changed(
    points: Iterable[IndexPoint], before: dict[str, str], seen: set[str], progress: Progress
) -> Iterator[IndexPoint]:
    for point in points:
        seen.add(point.chunk_id)
        progress.advance("index")
        if before.get(point.chunk_id) != point.digest():
            yield point


def _batches(points: Iterable[IndexPoint]) -> Iterator[list[IndexPoint]]:
    batch: list[IndexPoint] = []
    for point in points:
        batch.append(point)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _delete_gone(stage: Stage, before: dict[str, str], seen: set[str]) -> None:
    gone = sorted(set(before) - seen)
    if gone:
        stage.delete(gone)
