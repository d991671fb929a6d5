"""Stored vectors: kept while they are proven, forgotten when a gate found them not to be the model's."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.orm import Session
from sqlalchemy.sql.selectable import Select

from registry.schema import Chunk, Generation, GenerationDocument, Vector


def forget_unproven(session: Session, candidate: Generation, live: Generation | None) -> int:
    """Drop the vectors of a candidate that no published generation shares, and give how many those were.

    The next build makes them again; what is live passed its own gate with its vectors.
    """
    suspect = [Vector.text_sha256.in_(_texts(candidate))]
    if live is not None:
        suspect.append(Vector.text_sha256.not_in(_texts(live)))
    dropped = session.execute(
        delete(Vector)
        .where(Vector.tenant_id == candidate.tenant_id, Vector.model_id == candidate.model_id, *suspect)
        .returning(Vector.text_sha256)
        .execution_options(synchronize_session=False)
    )
    return len(dropped.all())


def _texts(generation: Generation) -> Select[str]:
    return (
        select(Chunk.text_sha256)
        .join(GenerationDocument, GenerationDocument.parsed_id == Chunk.parsed_id)
        .where(
            GenerationDocument.tenant_id == generation.tenant_id,
            GenerationDocument.generation == generation.number,
        )
    )
