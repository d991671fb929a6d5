"""Owners who are gone."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from registry.schema.base import Base


class SuspendedOwner(Base):
    """An e-mail address that nobody answers any more; what it owns is orphaned."""

    __tablename__ = "suspended_owner"

    email: Mapped[str] = mapped_column(String(254), primary_key=True)
    suspended_at: Mapped[datetime]
    suspended_by: Mapped[str]
