"""Restoring a backup to a home that has no state: verified first, named last."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipelines.backup import contents, drafts
from pipelines.backup.contents import Contents
from pipelines.errors import BackupDamaged, BackupRefused
from registry import snapshot
from registry.crash_points import crash_point
from registry.settings import Settings
from retrieval.errors import RetrievalError
from retrieval.index.edge.files import allocated_bytes
from retrieval.index.edge.room import disk_errors
from retrieval.index.edge.store import EdgeGenerationStore
from retrieval.index.store import GenerationRef


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put where. `registry` is `copied`, or `elsewhere` where the database server has it."""

    home: Path
    created_at: str
    registry: str
    generations: int
    bytes: int


def restore(origin: Path, settings: Settings) -> Restored:
    """Make the home of these settings from a backup.

    Raises BackupRefused where the home has anything in it or the registry is configured elsewhere,
    BackupDamaged where a file does not match its digest or a generation does not open.
    """
    home = settings.state
    found = contents.read_contents(origin)
    _refuse_unfit(found, settings)
    if not drafts.is_vacant(home):
        raise BackupRefused(
            f"{home} is not empty, and a restore overwrites nothing: set HOLDFAST_HOME to a new folder"
        )
    with disk_errors(f"the home {home}"), drafts.draft_of(home) as draft:
        drafts.fill(draft, origin)
        crash_point("restore:copied")
        _verify(draft, found)
        (draft / contents.FILE_NAME).unlink()
        drafts.sync_draft(draft)
        crash_point("restore:synced")
        drafts.name(draft, home)
    crash_point("restore:named")
    return Restored(home, found.created_at, found.registry, len(found.generations), allocated_bytes(home))


def _refuse_unfit(found: Contents, settings: Settings) -> None:
    if found.registry == "copied" and settings.registry_url:
        raise BackupRefused("this backup holds a SQLite registry: unset HOLDFAST_REGISTRY_URL to restore it")
    if found.registry != "copied" and not settings.registry_url:
        raise BackupRefused(
            "this backup's registry was on a database server: restore that by its own tools, and set "
            "HOLDFAST_REGISTRY_URL"
        )


def _verify(copied: Path, found: Contents) -> None:
    contents.verify(copied, found)
    if found.registry == "copied" and (fault := snapshot.examine(copied / contents.REGISTRY)):
        raise BackupDamaged(f"the registry of the backup is damaged ({fault}): nothing was restored")
    store = EdgeGenerationStore(copied / contents.INDEX, 1)
    try:
        digests = {generation.ref: _digest(store, generation.ref) for generation in found.generations}
    except RetrievalError as error:
        raise BackupDamaged(
            f"an index of the backup does not open: nothing was restored ({error})"
        ) from error
    finally:
        store.close()
    wrong = [str(g.ref) for g in found.generations if digests[g.ref] != g.digest]
    if wrong:
        raise BackupDamaged(f"{wrong[0]} is not the one that the backup names: nothing was restored")


def _digest(store: EdgeGenerationStore, ref: GenerationRef) -> str:
    with store.open(ref) as reader:
        return reader.digest
