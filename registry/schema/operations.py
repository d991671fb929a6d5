"""What keeps runs apart and people told: leases, run attempts, alerts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from registry.schema.base import Base, BigId


class Lease(Base):
    """A lease with a fencing token that grows with every change of hands and is never reset."""

    __tablename__ = "lease"

    name: Mapped[str] = mapped_column(String(120), primary_key=True)
    holder: Mapped[str]
    token: Mapped[int]
    expires_at: Mapped[datetime | None]


class RunAttempt(Base):
    """How often a run was asked for to build one identity: run keys are (identity, attempt)."""

    __tablename__ = "run_attempt"

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    identity: Mapped[str] = mapped_column(String(64), primary_key=True)
    attempts: Mapped[int]
    requested_at: Mapped[datetime]


class RunOutcome(Base):
    """What a run of the ingest job made of its tenant."""

    __tablename__ = "run_outcome"

    run: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"), index=True)
    outcome: Mapped[dict[str, Any]]
    at: Mapped[datetime]


class Alert(Base):
    """Something that a person must be told. Undelivered until every channel of the contract took it."""

    __tablename__ = "alert"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"), index=True)
    fingerprint: Mapped[str] = mapped_column(String(64), unique=True)
    kind: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str]
    details: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime | None]
    error: Mapped[str] = mapped_column(default="")
