"""Embedding of chunk texts that have no vector yet, a committed batch at a time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from pipelines.build.fence import Fence
from pipelines.build.progress import Progress
from registry import builds
from registry.clock import Clock, utc_now
from registry.crash_points import crash_point
from registry.database import Registry
from registry.schema import Chunk, ParsedDocument, Vector
from retrieval.encoder.encoder import Encoder


@dataclass(slots=True)
class Embedding:
    """How many distinct texts a build needed, how many of them had no vector yet, and how long those took."""

    needed: int = 0
    embedded: int = 0
    seconds: float = 0.0

    @property
    def cache_hits(self) -> int:
        return self.needed - self.embedded


def embed_missing(
    registry: Registry,
    fence: Fence,
    model_id: str,
    parsed_ids: Sequence[int],
    encoder: Callable[[], Encoder],
    batch: int,
    progress: Progress,
    sources: Mapping[int, int] = MappingProxyType({}),
    clock: Clock = utc_now,
) -> Embedding:
    """Give every chunk text of these parsed documents a vector. The encoder loads only where one is missing.

    What it took is counted for the source of each text, where `sources` ({parsed document: source}) has it.

    Texts are taken by length, so that a batch is hardly padded; a crash costs at most one batch.
    Raises IngestRefused where the run was fenced off, TenantSuspended.
    """
    tenant_id = fence.tenant_id
    with registry.read() as session:
        tokens = _text_lengths(session, parsed_ids)
        missing = _without_vector(session, tenant_id, model_id, list(tokens))
        owners = _owners(session, sources) if missing else {}
    missing.sort(key=lambda digest: (tokens[digest], digest), reverse=True)
    outcome = Embedding(len(tokens), len(missing))
    progress.begin("embeddings", len(missing), len(tokens) - len(missing))
    for start in range(0, len(missing), batch):
        part = missing[start : start + batch]
        with registry.read() as session:
            texts = _texts(session, tenant_id, part)
        model, started = encoder(), time.perf_counter()
        vectors = model.encode([texts[digest] for digest in part])
        seconds = time.perf_counter() - started
        with registry.write() as session:
            fence.check(session)
            _store(session, tenant_id, model_id, part, vectors)
            used = Counter(owners[digest] for digest in part if digest in owners)
            builds.add_usage(session, tenant_id, used, seconds, clock().date())
            crash_point("embed:before-commit")
        crash_point("embed:after-commit")
        outcome.seconds += seconds
        progress.advance("embeddings", len(part))
    return outcome


def _text_lengths(session: Session, parsed_ids: Sequence[int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for start in range(0, len(parsed_ids), 500):
        query = select(Chunk.text_sha256, Chunk.tokens).where(
            Chunk.parsed_id.in_(parsed_ids[start : start + 500])
        )
        found.update((digest, tokens) for digest, tokens in session.execute(query))
    return found


def _owners(session: Session, sources: Mapping[int, int]) -> dict[str, int]:
    """Chunk text to the source that it is counted for: the first of those that have it."""
    found: dict[str, int] = {}
    ids = sorted(sources)
    for start in range(0, len(ids), 500):
        query = select(Chunk.text_sha256, Chunk.parsed_id).where(
            Chunk.parsed_id.in_(ids[start : start + 500])
        )
        for digest, parsed_id in session.execute(query):
            found[digest] = min(sources[parsed_id], found.get(digest, sources[parsed_id]))
    return found


def _without_vector(session: Session, tenant_id: str, model_id: str, digests: list[str]) -> list[str]:
    known: set[str] = set()
    for start in range(0, len(digests), 500):
        query = select(Vector.text_sha256).where(
            Vector.tenant_id == tenant_id,
            Vector.model_id == model_id,
            Vector.text_sha256.in_(digests[start : start + 500]),
        )
        known.update(session.scalars(query))
    return [digest for digest in digests if digest not in known]


def _texts(session: Session, tenant_id: str, digests: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for start in range(0, len(digests), 500):
        query = (
            select(Chunk.text_sha256, Chunk.text)
            .join(ParsedDocument, ParsedDocument.id == Chunk.parsed_id)
            .where(
                ParsedDocument.tenant_id == tenant_id,
                Chunk.text_sha256.in_(digests[start : start + 500]),
            )
        )
        found.update((digest, text) for digest, text in session.execute(query))
    return found


def _store(
    session: Session, tenant_id: str, model_id: str, digests: Sequence[str], vectors: np.ndarray[Any, Any]
) -> None:
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    rows = [
        {
            "tenant_id": tenant_id,
            "model_id": model_id,
            "text_sha256": digest,
            "body": np.asarray(vector, dtype="<f4").tobytes(),
        }
        for digest, vector in zip(digests, vectors, strict=True)
    ]
    session.execute(dialect.insert(Vector).on_conflict_do_nothing(), rows)
