"""Whether two builds of the same thing gave the same content."""

from __future__ import annotations

from sqlalchemy.orm import Session

from registry import generations
from registry.schema import Generation


def same_content(session: Session, one: Generation, other: Generation) -> bool | None:
    """Whether two generations of the same documents and configuration have the same digest.

    None where they are not of the same: then nothing follows from their digests. Both must still have their
    manifests.
    """
    configured = (one.build, one.average_length_step) == (other.build, other.average_length_step)
    if not configured or _documents(session, one) != _documents(session, other):
        return None
    return one.digest == other.digest


def _documents(session: Session, generation: Generation) -> list[tuple[object, ...]]:
    return [
        (row.source_id, row.key, row.state, row.change_id, row.parsed_id)
        for row in generations.documents(session, generation.tenant_id, generation.number)
    ]
