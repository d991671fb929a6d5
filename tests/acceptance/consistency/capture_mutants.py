"""Ways to break what is captured: commits torn, changes lost or misread, sources told too early that all is safe."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.orm import Session

from pipelines.capture import append, capturer
from pipelines.capture.append import append_commit
from pipelines.sources.fingerprint import fingerprint
from pipelines.sources.kinds import open_source
from pipelines.sources.postgres import postgres_source
from pipelines.sources.postgres.following import broken_history
from pipelines.sources.source import Change, Commit, Delete, Unreadable, Upsert
from pipelines.sources.source import Source as OpenSource
from registry import changelog
from registry.schema import Change as ChangeRow
from registry.schema import Head, Source

Patch = pytest.MonkeyPatch
Changes = Callable[[Session, Source, Commit], list[Change]]


def half_applied_commit(patch: Patch) -> None:
    """The last change of a commit is left behind, and its position is taken all the same."""

    def halved(_session: Session, _source: Source, commit: Commit) -> list[Change]:
        changes = list(commit.changes)
        return changes if commit.snapshot or len(changes) < 2 else changes[:-1]

    _capture_other_changes(patch, halved)


def lost_delete(patch: Patch) -> None:
    """Some deletions never reach the change log."""

    def without(_session: Session, _source: Source, commit: Commit) -> list[Change]:
        return [c for c in commit.changes if not (isinstance(c, Delete) and odd(c.key))]

    _capture_other_changes(patch, without)


def early_acknowledgement(patch: Patch) -> None:
    """The source is told that a commit is safe before the registry has it; then the capturer dies."""
    patch.setattr(postgres_source, "ACKNOWLEDGE_BYTES", 0)  # told at once, not when it is worth its cost
    opened = open_source
    under_way: list[OpenSource] = []

    def remembered(*arguments: Any) -> OpenSource:
        under_way[:] = [opened(*arguments)]
        return under_way[0]

    def acknowledged(_session: Session, _source: Source, commit: Commit) -> list[Change]:
        changes = list(commit.changes)
        under_way[0].acknowledge(commit.position)
        return changes

    patch.setattr(capturer, "open_source", remembered)
    _capture_other_changes(patch, acknowledged)


def early_acknowledgement_unnoticed(patch: Patch) -> None:
    """As before, and nobody looks whether the slot has moved on without the registry."""
    early_acknowledgement(patch)

    def trusting(position: int, state: Any, server: Any, slot: Any) -> str:
        return broken_history(position, state, server, slot and replace(slot, confirmed=0))

    patch.setattr(postgres_source, "broken_history", trusting)


def stale_tenant_map(patch: Patch) -> None:
    """A row that moved to another tenant stays with the one that had it first."""

    def stale(session: Session, source: Source, commit: Commit) -> list[Change]:
        return [_as_before(session, source, change) for change in commit.changes]

    _capture_other_changes(patch, stale)


def metadata_is_no_change(patch: Patch) -> None:
    """Only a new text counts as a change, not a new title or new metadata."""

    def blind(change: Upsert | Unreadable) -> str:
        return fingerprint(replace(change, title="", metadata={}) if isinstance(change, Upsert) else change)

    patch.setattr(append, "fingerprint", blind)
    patch.setattr("pipelines.sources.sqlite.rows.fingerprint", blind)


def every_deletion_a_rename(patch: Patch) -> None:
    """Every deletion counts as a rename: its document stays until the next publication."""
    original = append_commit

    def marking(session: Session, source: Source, commit: Commit, now: Any) -> Any:
        appended = original(session, source, commit, now)
        session.query(ChangeRow).filter_by(source_id=source.id, op="delete").update({"moved": True})
        return appended

    patch.setattr(capturer, "append_commit", marking)
    patch.setattr(changelog, "ended", lambda *_: set())


def skipped_commit(patch: Patch) -> None:
    """Now and then a commit's position is taken without any of its changes."""

    def skipping(_session: Session, source: Source, commit: Commit) -> list[Change]:
        return list(commit.changes) if commit.snapshot or source.last_seq % 5 else []

    _capture_other_changes(patch, skipping)


def _capture_other_changes(patch: Patch, changes: Changes) -> None:
    """Have capture append something else than what the source said."""
    original = append_commit

    def altered(session: Session, source: Source, commit: Commit, now: Any) -> Any:
        return original(session, source, replace(commit, changes=changes(session, source, commit)), now)

    patch.setattr(capturer, "append_commit", altered)


def _as_before(session: Session, source: Source, change: Change) -> Change:
    head = session.get(Head, (source.id, change.key))
    if head is None or isinstance(change, Delete):
        return change
    return replace(change, tenant=head.scope)


def odd(text: str) -> bool:
    """Half of all texts."""
    return hashlib.sha256(text.encode()).digest()[0] % 2 == 1
