"""What should be in a generation's index, point by point, from the registry alone.

Staging writes these points and the reconciliation check compares the index with them.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from sqlalchemy import Row, Select, and_, func, select
from sqlalchemy.orm import Session

from registry.schema import (
    Change,
    Chunk,
    Generation,
    GenerationDocument,
    ParsedDocument,
    Source,
    SourceCommit,
    Vector,
)
from retrieval.index.point import IndexPoint
from retrieval.lexical.bm25 import document_weights, grid_value
from retrieval.lexical.packing import unpack
from retrieval.lexical.terms import TermCounts

FETCH = 1000


def chunk_id(source: str, document: str, text_sha256: str, occurrence: int) -> str:
    """A chunk's id (a UUID): its document and its text, numbered where a document repeats a text."""
    encoded = "\x1f".join([source, document, text_sha256, str(occurrence)])
    return str(uuid.UUID(bytes=hashlib.sha256(encoded.encode()).digest()[:16]))


def expected_points(session: Session, generation: Generation) -> Iterator[IndexPoint]:
    """Every point of a generation in (source, document, ordinal) order; a chunk without a vector has none."""
    average = grid_value(generation.average_length_step)
    for row, identifier in _identified(session, _chunks(generation, with_vector=True)):
        yield IndexPoint(
            chunk_id=identifier,
            vector=np.frombuffer(row.vector, dtype="<f4"),
            weights=document_weights(unpack(row.terms), average),
            payload=_payload(row),
        )


def expected_ids(session: Session, generation: Generation) -> set[str]:
    """The ids of a generation's points."""
    return {identifier for _, identifier in _identified(session, _chunks(generation, with_vector=False))}


def average_length(session: Session, parsed_ids: list[int]) -> float:
    """Mean number of terms of the chunks of these parsed documents (one entry a document; repeats count).

    1 where there is no term at all: an average length is positive.
    """
    weight = Counter(parsed_ids)
    distinct = sorted(weight)
    total = chunks = 0
    for start in range(0, len(distinct), 500):
        query = (
            select(Chunk.parsed_id, func.sum(Chunk.length), func.count())
            .where(Chunk.parsed_id.in_(distinct[start : start + 500]))
            .group_by(Chunk.parsed_id)
        )
        for parsed_id, length, count in session.execute(query):
            total += int(length) * weight[parsed_id]
            chunks += count * weight[parsed_id]
    return total / chunks if total else 1.0


def _identified(session: Session, query: Select[*tuple[Any, ...]]) -> Iterator[tuple[Row[Any], str]]:
    document: tuple[int, str] | None = None
    occurrences: Counter[str] = Counter()
    for row in session.execute(query.execution_options(yield_per=FETCH)):
        if (row.source_id, row.key) != document:
            document, occurrences = (row.source_id, row.key), Counter()
        yield row, chunk_id(row.source, row.key, row.text_sha256, occurrences[row.text_sha256])
        occurrences[row.text_sha256] += 1


def _chunks(generation: Generation, *, with_vector: bool) -> Select[*tuple[Any, ...]]:
    manifest = GenerationDocument
    query: Select[*tuple[Any, ...]] = (
        select(
            manifest.source_id, manifest.key, Source.name.label("source"), Chunk.text_sha256, Chunk.ordinal
        )
        .join(Chunk, Chunk.parsed_id == manifest.parsed_id)
        .join(Source, Source.id == manifest.source_id)
        .where(manifest.tenant_id == generation.tenant_id, manifest.generation == generation.number)
        .order_by(manifest.source_id, manifest.key, Chunk.ordinal)
    )
    return _with_content(query, generation) if with_vector else query


def _with_content(query: Select[*tuple[Any, ...]], generation: Generation) -> Select[*tuple[Any, ...]]:
    manifest = GenerationDocument
    return (
        query.add_columns(
            manifest.state,
            Chunk.text,
            Chunk.heading,
            Chunk.terms,
            Chunk.length,
            Change.title,
            Change.uri,
            Change.meta,
            Change.fingerprint,
            ParsedDocument.title.label("own_title"),
            SourceCommit.position,
            Vector.body.label("vector"),
        )
        .join(Change, Change.id == manifest.change_id)
        .join(ParsedDocument, ParsedDocument.id == manifest.parsed_id)
        .join(SourceCommit, and_(SourceCommit.source_id == Change.source_id, SourceCommit.seq == Change.seq))
        .join(
            Vector,
            and_(
                Vector.tenant_id == manifest.tenant_id,
                Vector.model_id == generation.model_id,
                Vector.text_sha256 == Chunk.text_sha256,
            ),
        )
    )


def version_of(fingerprint: str) -> str:
    """A document version as people see it."""
    return fingerprint[:12]


def _payload(row: Row[Any]) -> dict[str, Any]:
    return {
        "source": row.source,
        "document": row.key,
        "title": row.title or row.own_title or row.key,
        "uri": row.uri,
        "text": row.text,
        "version": version_of(row.fingerprint),
        "position": row.position,
        "stale": row.state == "stale",
        "metadata": dict(row.meta),
        "ordinal": row.ordinal,
        "heading": list(row.heading),
    }


def expected_terms(session: Session, generation: Generation) -> Iterator[tuple[str, TermCounts]]:
    """Each point's id and its chunk's term counts, in the order of `expected_points`."""
    query = _chunks(generation, with_vector=False).add_columns(Chunk.terms)
    for row, identifier in _identified(session, query):
        yield identifier, unpack(row.terms)
