"""What is kept of a source that reads a log of rows: the rows themselves, and how its replication slot is."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from registry.schema.base import Base


class SourceRow(Base):
    """A row of a source's table as it stands at the source's position: the columns that make documents.

    A change in a log of rows does not say everything (an unchanged large value, who a deleted row belonged
    to, the other sections of a page), and a later look at the table says too much. `relation` is page or
    section; `identity` and `link` are digests: of what tells rows apart, and of what joins sections to their
    page. `body` is empty where the row's tenant was erased.
    """

    __tablename__ = "source_row"
    __table_args__ = (
        Index("ix_source_row_key", "source_id", "relation", "key"),
        Index("ix_source_row_link", "source_id", "relation", "link"),
    )

    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), primary_key=True)
    relation: Mapped[str] = mapped_column(String(8), primary_key=True)
    identity: Mapped[str] = mapped_column(String(32), primary_key=True)
    link: Mapped[str] = mapped_column(String(32), default="")
    key: Mapped[str] = mapped_column(default="")
    label: Mapped[str | None] = mapped_column(String(80))
    scope: Mapped[str] = mapped_column(String(80), index=True)
    body: Mapped[bytes | None] = mapped_column(LargeBinary)


class ReplicationSlot(Base):
    """A source's replication slot at the last look: how much of the upstream log it holds back. Bytes.

    `safe_bytes` is what may still be written before the server gives the slot up (None: no limit);
    `held_since` is when the oldest log record that it needs was first seen to be that one, `danger_since` when
    the slot was first seen to be a danger.
    """

    __tablename__ = "replication_slot"

    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    wal_status: Mapped[str] = mapped_column(String(16))
    retained_bytes: Mapped[int] = mapped_column(BigInteger)
    safe_bytes: Mapped[int | None] = mapped_column(BigInteger)
    limit_bytes: Mapped[int] = mapped_column(BigInteger)
    oldest: Mapped[str] = mapped_column(String(24))
    held_since: Mapped[datetime]
    danger_since: Mapped[datetime | None]
    observed_at: Mapped[datetime]
