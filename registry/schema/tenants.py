"""Who is served: tenants, their keys, their contracts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from registry.schema.base import Base


class Tenant(Base):
    """A tenant. The id is never reused, not even after an erasure; the name is free again then."""

    __tablename__ = "tenant"
    __table_args__ = (
        Index(
            "uq_tenant_name",
            "name",
            unique=True,
            sqlite_where=text("status != 'erased'"),
            postgresql_where=text("status != 'erased'"),
        ),
    )

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16), default="active")
    created_at: Mapped[datetime]
    live_generation: Mapped[int | None]
    next_generation: Mapped[int] = mapped_column(default=1)
    held_at: Mapped[datetime | None]
    held_reason: Mapped[str] = mapped_column(default="")
    last_query_at: Mapped[datetime | None]


class ApiKey(Base):
    """A key of the retrieval API. Only the secret's SHA-256 is kept."""

    __tablename__ = "api_key"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"), index=True)
    secret_sha256: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class ContractVersion(Base):
    """One version of a tenant's contract; the newest is in force."""

    __tablename__ = "contract_version"

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[dict[str, Any]]
    hash: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
