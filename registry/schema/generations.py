"""What was built: generations, their pins and documents, the verdicts on them, and who made them live."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from registry.schema.base import Base, BigId


class Generation(Base):
    """One version of a tenant's index. `status`: candidate, live, retained, retired, rejected, abandoned."""

    __tablename__ = "generation"
    __table_args__ = (Index("ix_generation_identity", "tenant_id", "identity"),)

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str] = mapped_column(String(12))
    identity: Mapped[str] = mapped_column(String(64))
    base: Mapped[int | None]
    build: Mapped[dict[str, Any]]
    model_id: Mapped[str] = mapped_column(ForeignKey("embedding_model.id"))
    average_length_step: Mapped[int]
    digest: Mapped[str] = mapped_column(String(64), default="")
    quiescent: Mapped[bool]
    documents: Mapped[int] = mapped_column(default=0)
    quarantined: Mapped[int] = mapped_column(default=0)
    chunks: Mapped[int] = mapped_column(default=0)
    fencing_token: Mapped[int]
    run: Mapped[str] = mapped_column(default="")
    statistics: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    published_at: Mapped[datetime | None]
    removed_at: Mapped[datetime | None]


class GenerationPin(Base):
    """The position of one source in a generation."""

    __tablename__ = "generation_pin"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "generation"], ["generation.tenant_id", "generation.number"]),
    )

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    generation: Mapped[int] = mapped_column(primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), primary_key=True)
    seq: Mapped[int]
    epoch: Mapped[int]
    position: Mapped[str]
    committed_at: Mapped[datetime]
    quiescent: Mapped[bool]


class GenerationDocument(Base):
    """One document of a generation. `state`: live, stale (its last good version) or quarantined (no chunks).

    `change_id` is the version whose chunks are in the index; `wanted_id` the version at the pin.
    """

    __tablename__ = "generation_document"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "generation"], ["generation.tenant_id", "generation.number"]),
    )

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    generation: Mapped[int] = mapped_column(primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(String(12))
    change_id: Mapped[int | None] = mapped_column(ForeignKey("change.id"))
    wanted_id: Mapped[int] = mapped_column(ForeignKey("change.id"))
    parsed_id: Mapped[int | None] = mapped_column(ForeignKey("parsed_document.id"))
    chunks: Mapped[int]
    error: Mapped[str] = mapped_column(default="")


class Verdict(Base):
    """What one check said of one candidate under one contract and one set of canaries."""

    __tablename__ = "verdict"

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    contract_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    canary_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    check: Mapped[str] = mapped_column(String(40), primary_key=True)
    generation: Mapped[int]
    passed: Mapped[bool]
    blocking: Mapped[bool]
    summary: Mapped[str] = mapped_column(default="")
    details: Mapped[dict[str, Any]]
    decided_at: Mapped[datetime]


class Publication(Base):
    """The record of every move of a tenant's live pointer. `kind`: publish, rollback or resume."""

    __tablename__ = "publication"
    __table_args__ = (Index("ix_publication_tenant", "tenant_id", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    generation: Mapped[int]
    kind: Mapped[str] = mapped_column(String(12))
    reason: Mapped[str] = mapped_column(default="")
    at: Mapped[datetime]
