"""What was captured: sources, their commits, the changes in them, and the content, per tenant."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from registry.schema.base import Base, BigId


class Source(Base):
    """A place where documents live. `tenant_id` is empty where a tenant column shares it among tenants."""

    __tablename__ = "source"
    __table_args__ = (
        Index(
            "uq_source_name",
            "name",
            "tenant_id",
            unique=True,
            sqlite_where=text("removed_at IS NULL"),
            postgresql_where=text("removed_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(String(64))
    tenant_id: Mapped[str | None] = mapped_column(ForeignKey("tenant.id"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    uri: Mapped[str]
    owner: Mapped[str] = mapped_column(default="")
    options: Mapped[dict[str, Any]]
    consistency: Mapped[str] = mapped_column(String(20))
    created_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]
    epoch: Mapped[int] = mapped_column(default=0)
    last_seq: Mapped[int] = mapped_column(default=0)
    position: Mapped[str | None]
    cursor_state: Mapped[dict[str, Any]]
    checked_at: Mapped[datetime | None]
    source_time: Mapped[datetime | None]
    error: Mapped[str] = mapped_column(default="")
    failing_since: Mapped[datetime | None]
    dropped: Mapped[int] = mapped_column(default=0)


class SourceCommit(Base):
    """One atomic commit of a source. `seq` orders a source's commits over all its epochs."""

    __tablename__ = "source_commit"
    __table_args__ = (UniqueConstraint("source_id", "epoch", "position"),)

    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[int]
    position: Mapped[str]
    snapshot: Mapped[bool] = mapped_column(default=False)
    committed_at: Mapped[datetime]
    captured_at: Mapped[datetime]


class TenantCommit(Base):
    """A tenant's part of a commit: what pins, quiet points and the mass-deletion hold look at.

    `scope` is the tenant's id, or `?label` while no tenant of that name exists. `hold` is one of
    `` (nothing to decide), held, confirmed, rejected.
    """

    __tablename__ = "tenant_commit"
    __table_args__ = (Index("ix_tenant_commit_hold", "hold", "scope"),)

    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), primary_key=True)
    scope: Mapped[str] = mapped_column(String(80), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[int]
    position: Mapped[str]
    committed_at: Mapped[datetime]
    captured_at: Mapped[datetime]
    upserts: Mapped[int]
    deletes: Mapped[int]
    hold: Mapped[str] = mapped_column(String(12), default="")
    decided_by: Mapped[str] = mapped_column(default="")
    decided_at: Mapped[datetime | None]


class Change(Base):
    """One document's net change in one commit. An upsert row is a document version.

    `op` is upsert, delete or unreadable; `moved` marks a delete whose content lives on under another key.
    """

    __tablename__ = "change"
    __table_args__ = (
        Index("ix_change_key", "scope", "source_id", "key", "seq"),
        Index("ix_change_seq", "scope", "source_id", "seq"),
        Index(
            "ix_change_deletes",
            "scope",
            "source_id",
            "seq",
            sqlite_where=text("op = 'delete'"),
            postgresql_where=text("op = 'delete'"),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"))
    scope: Mapped[str] = mapped_column(String(80))
    seq: Mapped[int]
    key: Mapped[str]
    op: Mapped[str] = mapped_column(String(12))
    moved: Mapped[bool] = mapped_column(default=False)
    title: Mapped[str] = mapped_column(default="")
    uri: Mapped[str] = mapped_column(default="")
    media_type: Mapped[str] = mapped_column(String(128), default="")
    meta: Mapped[dict[str, Any]]
    content_sha256: Mapped[str] = mapped_column(String(64), default="")
    size: Mapped[int] = mapped_column(default=0)
    fingerprint: Mapped[str] = mapped_column(String(64), default="")
    error: Mapped[str] = mapped_column(default="")


class Head(Base):
    """The newest captured version of each document of a source: who owns the key and what it says."""

    __tablename__ = "head"
    __table_args__ = (Index("ix_head_scope", "scope", "source_id", "content_sha256"),)

    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(String(80))
    seq: Mapped[int]
    fingerprint: Mapped[str] = mapped_column(String(64))
    content_sha256: Mapped[str] = mapped_column(String(64), default="")


class Content(Base):
    """A document's bytes, once per tenant and SHA-256."""

    __tablename__ = "content"

    scope: Mapped[str] = mapped_column(String(80), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    body: Mapped[bytes] = mapped_column(LargeBinary)
