"""What documents became: parsed documents, their chunks, and the vectors, per tenant."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from registry.schema.base import Base, BigId


class EmbeddingModel(Base):
    """An embedding model. Whatever changes the vectors is a new row."""

    __tablename__ = "embedding_model"

    id: Mapped[str] = mapped_column(String(120), primary_key=True)
    name: Mapped[str]
    revision: Mapped[str]
    weights_sha256: Mapped[str] = mapped_column(String(64))
    dimension: Mapped[int]
    pooling: Mapped[str] = mapped_column(String(16))
    normalisation: Mapped[str] = mapped_column(String(16))
    max_tokens: Mapped[int]
    runtime: Mapped[str] = mapped_column(String(64))
    precision: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]


class ParsedDocument(Base):
    """The outcome of parsing and chunking one input with one parser, chunker and tokenizer.

    `input_sha256` covers content, media type and title; `build` names the configuration. A failure
    is an outcome too: `error` says why, `attempts` how often it was tried; one that is `forgotten` is tried
    again by the next build.
    """

    __tablename__ = "parsed_document"
    __table_args__ = (UniqueConstraint("tenant_id", "input_sha256", "build"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    input_sha256: Mapped[str] = mapped_column(String(64))
    build: Mapped[str] = mapped_column(String(64))
    title: Mapped[str] = mapped_column(default="")
    chunks: Mapped[int] = mapped_column(default=0)
    error: Mapped[str] = mapped_column(default="")
    attempts: Mapped[int] = mapped_column(default=1)
    forgotten: Mapped[bool] = mapped_column(default=False)


class Chunk(Base):
    """One chunk's text, exactly as embedded, indexed and shown, with its packed term counts."""

    __tablename__ = "chunk"

    parsed_id: Mapped[int] = mapped_column(ForeignKey("parsed_document.id"), primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
    text_sha256: Mapped[str] = mapped_column(String(64), index=True)
    heading: Mapped[list[Any]]
    tokens: Mapped[int]
    terms: Mapped[bytes] = mapped_column(LargeBinary)
    length: Mapped[int]


class Vector(Base):
    """A chunk text's vector: float32, little-endian, L2-normalised."""

    __tablename__ = "vector"

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("embedding_model.id"), primary_key=True)
    text_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    body: Mapped[bytes] = mapped_column(LargeBinary)
