"""Taking a backup while everything runs: the registry at one instant, and the generations that it serves."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from pipelines.backup import contents, drafts
from pipelines.backup.contents import Contents, CopiedGeneration
from pipelines.errors import BackupRefused
from registry import generations, snapshot
from registry.clock import Clock
from registry.crash_points import crash_point
from registry.database import Registry
from registry.schema import Generation
from retrieval.errors import IndexUnavailable, RetrievalError
from retrieval.index.edge.files import allocated_bytes, copy_tree
from retrieval.index.edge.layout import Layout
from retrieval.index.edge.room import disk_errors
from retrieval.index.edge.store import EdgeGenerationStore
from retrieval.index.store import GenerationRef

TRIES = 5


@dataclass(frozen=True, slots=True)
class Backup:
    """What was copied. `registry` is `copied` or `elsewhere`."""

    path: Path
    registry: str
    generations: int
    bytes: int


def take_backup(registry: Registry, index: Path, target: Path, clock: Clock) -> Backup:
    """Copy registry and served generations to a new folder, verified and durable before it gets its name.

    Raises BackupRefused where something is there already, IndexCorrupt for a damaged generation (rebuild it
    first), IndexUnavailable where generations came and went faster than they could be copied.
    """
    if not drafts.is_vacant(target):
        raise BackupRefused(f"{target} is not empty: a backup goes to a new folder")
    with disk_errors(f"the backup {target}"), drafts.draft_of(target) as draft:
        copied = _copy(registry, index, draft)
        Contents(clock().isoformat(), _kind(registry), copied, contents.digests(draft)).write(draft)
        crash_point("backup:manifest-written")
        drafts.sync_draft(draft)
        crash_point("backup:synced")
        drafts.name(draft, target)
    crash_point("backup:named")
    return Backup(target, _kind(registry), len(copied), allocated_bytes(target))


def _kind(registry: Registry) -> str:
    return "copied" if snapshot.is_file(registry) else "elsewhere"


def _copy(registry: Registry, index: Path, draft: Path) -> list[CopiedGeneration]:
    for tried in range(1, TRIES + 1):
        try:
            return _copy_once(registry, index, draft)
        except IndexUnavailable:
            # Retired and removed since the registry was copied: what is served now is another set.
            if tried == TRIES:
                raise
            for found in draft.iterdir():
                shutil.rmtree(found) if found.is_dir() else found.unlink()
    raise AssertionError("unreachable")


def _copy_once(registry: Registry, index: Path, draft: Path) -> list[CopiedGeneration]:
    if not snapshot.is_file(registry):
        with registry.read() as session:
            served = _served(session)
    else:
        snapshot.copy_to(registry, draft / contents.REGISTRY)
        crash_point("backup:registry-copied")
        served = _served_by_copy(draft / contents.REGISTRY)
    _copy_index(index, draft / contents.INDEX, served)
    return served


def _served_by_copy(path: Path) -> list[CopiedGeneration]:
    engine = create_engine(f"sqlite:///{path}")  # not a Registry: that would leave a log beside the copy
    try:
        with Session(engine) as session:
            return _served(session)
    finally:
        engine.dispose()


def _served(session: Session) -> list[CopiedGeneration]:
    query = (
        select(Generation)
        .where(Generation.status.in_(generations.SERVABLE))
        .order_by(Generation.tenant_id, Generation.number)
    )
    return [
        CopiedGeneration(found.tenant_id, found.number, found.status, found.digest)
        for found in session.scalars(query)
    ]


def _copy_index(origin: Path, target: Path, served: list[CopiedGeneration]) -> None:
    target.mkdir()
    source, copied = EdgeGenerationStore(origin, 1), EdgeGenerationStore(target, 1)
    try:
        for generation in served:
            # Verified, and kept from being removed meanwhile: but not by an erasure.
            with source.open(generation.ref), _unless_erased(source, generation.ref):
                place = Layout(target).generation(generation.ref)
                place.parent.mkdir(exist_ok=True)
                copy_tree(Layout(origin).generation(generation.ref), place)
                crash_point("backup:generation-copied")
                copied.open(generation.ref).close()
    finally:
        source.close()
        copied.close()


@contextmanager
def _unless_erased(store: EdgeGenerationStore, ref: GenerationRef) -> Iterator[None]:
    try:
        yield
    except (OSError, RetrievalError) as error:
        if ref.number in store.generations(ref.tenant):
            raise
        raise IndexUnavailable(f"{ref} was erased while it was copied") from error
