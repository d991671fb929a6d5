"""Folders that get their name when they are whole: what a kill leaves beside it passes for nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from pipelines.errors import BackupRefused
from retrieval.index.edge.files import copy_tree, remove_tree, sync, sync_tree


def is_vacant(place: Path) -> bool:
    """Whether nothing is at a place, or an empty folder."""
    return not place.exists() or (place.is_dir() and not any(place.iterdir()))


@contextmanager
def draft_of(place: Path) -> Iterator[Path]:
    """A private folder beside `place`, gone at the end unless `name` gave it its name.

    Drafts of dead processes are removed first.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    _discard_dead(place)
    draft = place.parent / f"{_prefix(place)}{os.getpid()}"
    draft.mkdir(mode=0o700)
    try:
        yield draft
    finally:
        if draft.exists():
            shutil.rmtree(draft)


def fill(draft: Path, origin: Path) -> None:
    """Make an empty draft a copy of a folder, holes as holes."""
    draft.rmdir()
    copy_tree(origin, draft)
    draft.chmod(0o700)


def sync_draft(draft: Path) -> None:
    """Make a draft durable, every file and every folder."""
    sync_tree(draft)


def name(draft: Path, place: Path) -> None:
    """Rename a durable draft to its place, durably. Raises BackupRefused where something is there by now."""
    try:
        os.rename(draft, place)  # replaces an empty folder, and nothing else
    except OSError as error:
        if is_vacant(place):
            raise
        raise BackupRefused(f"something else was put at {place} meanwhile: nothing was changed") from error
    sync(place.parent)


def _prefix(place: Path) -> str:
    return f".{place.name}.draft-"


def _discard_dead(place: Path) -> None:
    for found in place.parent.glob(f"{_prefix(place)}*"):
        number = found.name.removeprefix(_prefix(place))
        if number.isdecimal() and (int(number) == os.getpid() or not psutil.pid_exists(int(number))):
            remove_tree(found)  # another process may be at it
