"""The embedding registry: every model whose vectors are kept, by what changes its vectors."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from registry.errors import NotFound
from registry.locking import insert_if_absent
from registry.schema import EmbeddingModel


class Identity(Protocol):
    """What the encoder says of itself; see `retrieval.encoder.identity.ModelIdentity`."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def revision(self) -> str: ...
    @property
    def weights_sha256(self) -> str: ...
    @property
    def dimension(self) -> int: ...
    @property
    def pooling(self) -> str: ...
    @property
    def normalisation(self) -> str: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def runtime(self) -> str: ...
    @property
    def precision(self) -> str: ...


FIELDS = (
    "name", "revision", "weights_sha256", "dimension", "pooling",
    "normalisation", "max_tokens", "runtime", "precision",
)  # fmt: skip


def register(session: Session, identity: Identity, now: datetime) -> EmbeddingModel:
    """The row of this model, made where it is new."""
    fields = {name: getattr(identity, name) for name in FIELDS}
    insert_if_absent(session, EmbeddingModel, id=identity.id, created_at=now, **fields)
    return session.get_one(EmbeddingModel, identity.id)


def get(session: Session, model_id: str) -> EmbeddingModel:
    """One model. Raises NotFound."""
    found = session.get(EmbeddingModel, model_id)
    if found is None:
        raise NotFound(f"the embedding registry has no model {model_id}")
    return found


def known(session: Session) -> list[EmbeddingModel]:
    """All models, oldest first."""
    return list(
        session.scalars(select(EmbeddingModel).order_by(EmbeddingModel.created_at, EmbeddingModel.id))
    )
