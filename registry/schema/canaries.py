"""Known answers: canaries, and what came of asking them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from registry.schema.base import Base, BigId


class Canary(Base):
    """A query and the documents that answer it (keys within their sources)."""

    __tablename__ = "canary"

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    query: Mapped[str]
    relevant: Mapped[list[Any]]
    created_at: Mapped[datetime]


class CanaryRun(Base):
    """One asking of a tenant's canaries. `kind`: gate or daily."""

    __tablename__ = "canary_run"
    __table_args__ = (Index("ix_canary_run_tenant", "tenant_id", "generation", "kind"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    generation: Mapped[int]
    kind: Mapped[str] = mapped_column(String(8))
    canary_hash: Mapped[str] = mapped_column(String(64))
    contract_hash: Mapped[str] = mapped_column(String(64))
    k: Mapped[int]
    queries: Mapped[int]
    excused: Mapped[int]
    recall: Mapped[float | None]
    mrr: Mapped[float | None]
    passed: Mapped[bool]
    details: Mapped[dict[str, Any]]
    at: Mapped[datetime]


class CanaryAnswer(Base):
    """One query's outcome in one run: the documents found, best first, and its recall and reciprocal rank."""

    __tablename__ = "canary_answer"

    run_id: Mapped[int] = mapped_column(ForeignKey("canary_run.id"), primary_key=True)
    canary_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    found: Mapped[list[Any]]
    recall: Mapped[float | None]
    reciprocal_rank: Mapped[float | None]
