"""Dead letters: versions of documents that could not be read or parsed, and what people decided about them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from registry.schema.base import Base


class DeadLetter(Base):
    """One document's version (a change) that failed.

    `state`: waiting (in quarantine), retrying (a person asked for another attempt), mended (the attempt
    succeeded and is not published yet) or dropped (a person decided that this version stays out).
    `parsed_id` is the remembered failure, empty where the source itself could not read the document.
    """

    __tablename__ = "dead_letter"
    __table_args__ = (Index("ix_dead_letter_source", "tenant_id", "source_id", "key"),)

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    change_id: Mapped[int] = mapped_column(ForeignKey("change.id"), primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"))
    key: Mapped[str]
    parsed_id: Mapped[int | None] = mapped_column(ForeignKey("parsed_document.id"))
    state: Mapped[str] = mapped_column(String(12))
    error: Mapped[str]
    attempts: Mapped[int]
    retries: Mapped[int] = mapped_column(default=0)
    first_seen: Mapped[datetime]
    last_seen: Mapped[datetime]
    decided_by: Mapped[str] = mapped_column(default="")
    decided_at: Mapped[datetime | None]
