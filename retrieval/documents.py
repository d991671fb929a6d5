"""A generation's documents as people look at them: what is served, in which version, hidden or not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from registry import changelog, generations
from registry.errors import NotFound
from registry.schema import (
    Change,
    Chunk,
    Content,
    GenerationDocument,
    ParsedDocument,
    Source,
    SourceCommit,
)
from retrieval.expected import chunk_id, version_of
from retrieval.search.snapshot import Snapshot, take

State = Literal["live", "stale", "quarantined", "hidden"]


@dataclass(frozen=True, slots=True)
class ListedDocument:
    """One document of a generation. `error` says why its newest version is not the one that is served."""

    document: str
    source: str
    version: str
    chunks: int
    state: State
    error: str


@dataclass(frozen=True, slots=True)
class ShownDocument:
    """One document with its content: stored bytes of the served version, and its chunks (id, text)."""

    listed: ListedDocument
    generation: int
    position: str
    title: str
    uri: str
    media_type: str
    metadata: dict[str, Any]
    content: bytes
    chunks: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Version:
    """One captured version of a document, and the generations that serve or served it."""

    source: str
    change: Change
    commit: SourceCommit
    generations: tuple[int, ...]


def listed(
    session: Session, tenant_id: str, as_of: int | None = None, source: str | None = None
) -> list[ListedDocument]:
    """The documents of the live generation (or of a retained one) by source and key.

    Raises NothingPublished, GenerationNotServed, TenantSuspended.
    """
    snapshot = take(session, tenant_id, as_of)
    return [_listed(row, snapshot) for row in session.execute(_served(snapshot, source))]


def shown(
    session: Session, tenant_id: str, key: str, as_of: int | None = None, source: str | None = None
) -> ShownDocument:
    """One document. Raises NotFound, also where several sources have the key, and what `listed` raises."""
    snapshot = take(session, tenant_id, as_of)
    found = session.execute(_served(snapshot, source).where(GenerationDocument.key == key)).all()
    if not found:
        raise NotFound(
            f"generation {snapshot.generation} of tenant {snapshot.tenant} has no document {key!r}: "
            "see `holdfast document list`"
        )
    if len(found) > 1:
        names = ", ".join(sorted(row.source for row in found))
        raise NotFound(f"several sources have a document {key!r}: say which with --source ({names})")
    row = found[0]
    change, position = session.execute(
        select(Change, SourceCommit.position)
        .join(SourceCommit, and_(SourceCommit.source_id == Change.source_id, SourceCommit.seq == Change.seq))
        .where(Change.id == (row.change_id or row.wanted_id))
    ).one()
    parsed = session.get(ParsedDocument, row.parsed_id) if row.parsed_id is not None else None
    content = session.get(Content, (snapshot.tenant_id, change.content_sha256))
    return ShownDocument(
        _listed(row, snapshot),
        snapshot.generation,
        position,
        change.title or (parsed.title if parsed else "") or key,
        change.uri,
        change.media_type,
        dict(change.meta),
        content.body if content else b"",
        _chunks(session, row.source, key, row.parsed_id),
    )


def history(session: Session, tenant_id: str, key: str, source: str | None = None) -> list[Version]:
    """Every captured version of a key, oldest first, source by source. Raises NotFound."""
    query = (
        select(Source.id, Source.name)
        .join(Change, Change.source_id == Source.id)
        .where(Change.scope == tenant_id, Change.key == key)
        .distinct()
        .order_by(Source.name)
    )
    if source is not None:
        query = query.where(Source.name == source)
    found = [
        Version(name, change, commit, _serving(session, tenant_id, change.id))
        for source_id, name in session.execute(query)
        for change, commit in changelog.history(session, tenant_id, source_id, key)
    ]
    if not found:
        raise NotFound(f"nothing was ever captured under the key {key!r}: see `holdfast document list`")
    return found


def _served(snapshot: Snapshot, source: str | None) -> Any:  # noqa: ANN401 - a select over many columns
    manifest = GenerationDocument
    query = (
        select(
            manifest.key,
            manifest.state,
            manifest.chunks,
            manifest.error,
            manifest.change_id,
            manifest.wanted_id,
            manifest.parsed_id,
            Source.name.label("source"),
            Change.fingerprint,
        )
        .join(Source, Source.id == manifest.source_id)
        .join(Change, Change.id == _version_column())
        .where(manifest.tenant_id == snapshot.tenant_id, manifest.generation == snapshot.generation)
        .order_by(Source.name, manifest.key)
    )
    return query if source is None else query.where(Source.name == source)


def _version_column() -> Any:  # noqa: ANN401
    return func.coalesce(GenerationDocument.change_id, GenerationDocument.wanted_id)


def _listed(row: Any, snapshot: Snapshot) -> ListedDocument:  # noqa: ANN401
    hidden = (row.source, row.key) in snapshot.hidden
    state: State = "hidden" if hidden else row.state
    return ListedDocument(row.key, row.source, version_of(row.fingerprint), row.chunks, state, row.error)


def _chunks(session: Session, source: str, key: str, parsed_id: int | None) -> list[tuple[str, str]]:
    query = select(Chunk.text, Chunk.text_sha256).where(Chunk.parsed_id == parsed_id).order_by(Chunk.ordinal)
    occurrences: Counter[str] = Counter()
    found = []
    for text, digest in session.execute(query):
        found.append((chunk_id(source, key, digest, occurrences[digest]), text))
        occurrences[digest] += 1
    return found


def _serving(session: Session, tenant_id: str, change_id: int) -> tuple[int, ...]:
    kept = [
        generation.number for generation in generations.of_tenant(session, tenant_id, generations.SERVABLE)
    ]
    query = select(GenerationDocument.generation).where(
        GenerationDocument.tenant_id == tenant_id,
        GenerationDocument.change_id == change_id,
        GenerationDocument.generation.in_(kept),
    )
    return tuple(sorted(session.scalars(query)))
