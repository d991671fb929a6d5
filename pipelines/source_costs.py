"""What a source costs: what is kept of it, and what embedding it took lately."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from registry import builds, generations
from registry.schema import Change, GenerationDocument, Source, Tenant
from registry.settings import Settings
from retrieval.index.edge.files import allocated_bytes
from retrieval.index.edge.layout import Layout

RECENT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Cost:
    """Documents and chunks in live generations; bytes of content in all captured versions, and of the index
    (a tenant's, shared out by chunks); texts embedded in the last 30 days and the seconds that took.
    """

    documents: int = 0
    chunks: int = 0
    content_bytes: int = 0
    index_bytes: int = 0
    embedded_texts: int = 0
    embedding_seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.documents + other.documents,
            self.chunks + other.chunks,
            self.content_bytes + other.content_bytes,
            self.index_bytes + other.index_bytes,
            self.embedded_texts + other.embedded_texts,
            self.embedding_seconds + other.embedding_seconds,
        )


def index_bytes(settings: Settings, tenant_id: str) -> int:
    """Bytes that a tenant's generations take on this host's disk."""
    folder = Layout(settings.index).tenant(tenant_id)
    return allocated_bytes(folder) if folder.is_dir() else 0


def cost(
    session: Session, source: Source, tenant: Tenant, index_bytes_of: Callable[[str], int], now: datetime
) -> Cost:
    """What one source costs for one tenant that it feeds."""
    live = generations.live(session, tenant.id)
    documents, chunks = _in_live(session, source, tenant)
    share = chunks / live.chunks if live is not None and live.chunks else 0.0
    texts, seconds = builds.usage(session, tenant.id, source.id, (now - RECENT).date())
    content = _content_bytes(session, source, tenant)
    on_disk = round(share * index_bytes_of(tenant.id)) if share else 0
    return Cost(documents, chunks, content, on_disk, texts, round(seconds, 3))


def _in_live(session: Session, source: Source, tenant: Tenant) -> tuple[int, int]:
    query = select(func.count(), func.sum(GenerationDocument.chunks)).where(
        GenerationDocument.tenant_id == tenant.id,
        GenerationDocument.generation == tenant.live_generation,
        GenerationDocument.source_id == source.id,
    )
    documents, chunks = session.execute(query).one()
    return documents, int(chunks or 0)


def _content_bytes(session: Session, source: Source, tenant: Tenant) -> int:
    stored = (
        select(Change.content_sha256, Change.size)
        .where(Change.scope == tenant.id, Change.source_id == source.id, Change.op == "upsert")
        .distinct()
        .subquery()
    )
    return int(session.scalar(select(func.sum(stored.c.size))) or 0)
