"""Builds under way, and what embedding took: for people who wait, and for people who pay."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from registry.schema.base import Base


class BuildProgress(Base):
    """How far a tenant's build is; the row goes when the build ends, and stays where it was killed.

    `kind`: first, reindex or update. `total` of a stage's units, of which `ready` were done before this run
    and `done` are by now.
    """

    __tablename__ = "build_progress"

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    run: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(12))
    reason: Mapped[str] = mapped_column(default="")
    stage: Mapped[str] = mapped_column(String(40), default="")
    total: Mapped[int] = mapped_column(default=0)
    ready: Mapped[int] = mapped_column(default=0)
    done: Mapped[int] = mapped_column(default=0)
    started_at: Mapped[datetime]
    stage_started_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class EmbeddingUsage(Base):
    """Texts that were embedded for one source's documents of a tenant on one UTC day, and the seconds it took.

    A text that several sources share is counted for the first of them.
    """

    __tablename__ = "embedding_usage"

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    texts: Mapped[int]
    seconds: Mapped[float]
