"""The manifest of a candidate: for each document, the version that is served and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sqlalchemy.orm import Session

from pipelines.build.documents import Wanted
from pipelines.build.preparation import parsed_by_change
from registry import changelog
from registry.dead_letters import Failed
from registry.schema import Change, ParsedDocument

DELETION_REJECTED = "its deletion was rejected"


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One document of a candidate; see `registry.schema.GenerationDocument` for the fields.

    `failure` is what becomes a dead letter.
    """

    source_id: int
    key: str
    state: str
    change_id: int | None
    wanted_id: int
    parsed_id: int | None
    chunks: int
    error: str = ""
    failure: Failed | None = None

    @property
    def failed(self) -> bool:
        """Whether the version at the pin could not be read or parsed, and nobody decided to leave it out."""
        return self.failure is not None

    def as_row(self, tenant_id: str, generation: int) -> dict[str, Any]:
        """The values of the registry's row."""
        return {
            "tenant_id": tenant_id, "generation": generation, "source_id": self.source_id, "key": self.key,
            "state": self.state, "change_id": self.change_id, "wanted_id": self.wanted_id,
            "parsed_id": self.parsed_id, "chunks": self.chunks, "error": self.error,
        }  # fmt: skip


def manifest(
    session: Session,
    tenant_id: str,
    wanted: Sequence[Wanted],
    parse_hash: str,
    base_parse_hash: str | None,
    dropped: Mapping[int, str] = MappingProxyType({}),
) -> list[ManifestRow]:
    """Decide for each document: its wanted version, else its last good one (stale), else quarantine.

    `dropped` versions (change id to why they failed) are not looked at.
    """
    fresh = [w for w in wanted if not _can_reuse(w, parse_hash, base_parse_hash)]
    ids = {w.change_id for w in fresh} | {w.base.change_id for w in fresh if w.base and w.base.change_id}
    parsed = parsed_by_change(session, tenant_id, sorted(ids), parse_hash)
    changes = changelog.changes_by_id(session, sorted({w.change_id for w in fresh}))
    return [
        _reused(w)
        if _can_reuse(w, parse_hash, base_parse_hash)
        else _decided(w, changes[w.change_id], parsed, dropped.get(w.change_id))
        for w in wanted
    ]


def _can_reuse(wanted: Wanted, parse_hash: str, base_parse_hash: str | None) -> bool:
    return (
        wanted.base is not None
        and not wanted.is_new_version
        and parse_hash == base_parse_hash
        and wanted.base.state == "live"
        and not wanted.kept
    )


def _reused(wanted: Wanted) -> ManifestRow:
    base = wanted.base
    assert base is not None
    return ManifestRow(
        base.source_id, base.key, base.state, base.change_id, base.wanted_id, base.parsed_id, base.chunks
    )


def _decided(
    wanted: Wanted, change: Change, parsed: dict[int, ParsedDocument], dropped: str | None
) -> ManifestRow:
    source_id, key = wanted.document.source_id, wanted.document.key
    outcome = parsed.get(change.id) if dropped is None else None
    if outcome is not None and not outcome.error:
        state, reason = ("stale", DELETION_REJECTED) if wanted.kept else ("live", "")
        return ManifestRow(source_id, key, state, change.id, change.id, outcome.id, outcome.chunks, reason)
    error = dropped or change.error or (outcome.error if outcome else "it was never parsed")
    failure = None if dropped is not None else _failure(change, outcome, error)
    last_good = wanted.base.change_id if wanted.base and not wanted.returned else None
    fallback = parsed.get(last_good) if last_good is not None else None
    if fallback is not None and not fallback.error:
        return ManifestRow(
            source_id, key, "stale", last_good, change.id, fallback.id, fallback.chunks, error, failure
        )
    return ManifestRow(source_id, key, "quarantined", None, change.id, None, 0, error, failure)


def mended(wanted: Sequence[Wanted], rows: Sequence[ManifestRow]) -> set[int]:
    """Versions that the base could not use and these rows, one for each wanted document, can."""
    return {
        document.change_id
        for document, row in zip(wanted, rows, strict=True)
        if document.base is not None
        and document.base.error
        and not document.is_new_version
        and row.failure is None
    }


def as_in_base(wanted: Sequence[Wanted], rows: Sequence[ManifestRow]) -> bool:
    """Whether these rows, one for each wanted document, serve exactly what the base serves."""
    return all(
        document.base is not None
        and (row.state, row.change_id, row.wanted_id, row.parsed_id)
        == (document.base.state, document.base.change_id, document.base.wanted_id, document.base.parsed_id)
        for document, row in zip(wanted, rows, strict=True)
    )


def _failure(change: Change, outcome: ParsedDocument | None, error: str) -> Failed:
    of_change = (change.id, change.source_id, change.key, error)
    return Failed(*of_change) if outcome is None else Failed(*of_change, outcome.id, outcome.attempts)
