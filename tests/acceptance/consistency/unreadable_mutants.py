"""Ways to break what is served of documents that nobody can read, and to miss rows that were replaced."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipelines.build import documents, manifest
from pipelines.build.manifest import DELETION_REJECTED, ManifestRow
from pipelines.sources.sqlite.rows import Rows
from retrieval import expected

Patch = pytest.MonkeyPatch


def good_version_lost(patch: Patch) -> None:
    """A document that cannot be read any more is gone, though it could be read before."""
    original = manifest._decided

    def hasty(*arguments: Any) -> ManifestRow:
        row = original(*arguments)
        if row.state != "stale" or row.error == DELETION_REJECTED:
            return row
        return replace(row, state="quarantined", change_id=None, parsed_id=None, chunks=0)

    patch.setattr(manifest, "_decided", hasty)


def stale_as_current(patch: Patch) -> None:
    """The last good version is served without a word that it is not the newest."""
    original = expected._payload
    patch.setattr(expected, "_payload", lambda row: {**original(row), "stale": False})


def back_as_it_was(patch: Patch) -> None:
    """What was deleted and came back unreadable is served as it was before it was deleted."""
    patch.setattr(documents, "_deleted_since", lambda *_: set())


def mended_unnoticed(patch: Patch) -> None:
    """Once a document could not be read its last good version stays, whatever comes after."""
    original = manifest._decided

    def stubborn(wanted: Any, change: Any, parsed: Any, dropped: Any) -> ManifestRow:
        row = original(wanted, change, parsed, dropped)
        base = wanted.base
        if row.state != "live" or base is None or base.state != "stale" or base.error == DELETION_REJECTED:
            return row
        return replace(
            row, state="stale", change_id=base.change_id, parsed_id=base.parsed_id, chunks=base.chunks
        )

    patch.setattr(manifest, "_decided", stubborn)


def replaced_unnoticed(patch: Patch) -> None:
    """A row that REPLACE deleted, without a trigger, is there until all rows are compared."""
    patch.setattr(Rows, "accounts_for", lambda *_: True)
