"""`chunk_count_holds`: no text went missing without a deletion or an edit to explain it."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from canaries.checks.candidate import CandidateUnderTest
from registry import generations
from registry.schema import Change, Chunk, Generation, GenerationDocument, Source
from registry.verdicts import Verdict

NAME = "chunk_count_holds"


@dataclass(frozen=True, slots=True)
class Extent:
    """How much one document holds: bytes at its source, chunks and tokens in the index."""

    size: int
    chunks: int
    tokens: int


def check(under_test: CandidateUnderTest) -> Verdict:
    """Compare with the live generation, document by document, both in chunks and in tokens.

    A document that became shorter at its source may have fewer in proportion; one that was deleted none.
    """
    if under_test.live is None:
        chunks = under_test.candidate.chunks
        return Verdict(NAME, True, f"the first generation: {chunks} chunks", details={"chunks": chunks})
    with under_test.registry.read() as session:
        before = extents(session, under_test.live, served=True)
        after = extents(session, under_test.candidate)
        vanished = before.keys() - after.keys() - deleted(session, under_test.live, under_test.candidate)
    chunk_drop, token_drop = unexplained(before, after, vanished)
    allowed = under_test.contract.chunk_drop
    passed = max(chunk_drop, token_drop) <= allowed
    details = {
        "chunks": under_test.candidate.chunks,
        "live_chunks": under_test.live.chunks,
        "vanished_documents": len(vanished),
        "unexplained_chunk_drop": round(chunk_drop, 4),
        "unexplained_token_drop": round(token_drop, 4),
        "allowed": allowed,
    }
    text = f"unexplained drop: {chunk_drop:.1%} of chunks, {token_drop:.1%} of tokens (allowed {allowed:.0%})"
    return Verdict(NAME, passed, text, details=details)


def unexplained(
    before: dict[tuple[int, str], Extent],
    after: dict[tuple[int, str], Extent],
    vanished: Set[tuple[int, str]] = frozenset(),
) -> tuple[float, float]:
    """The shares of chunks and of tokens that surviving documents lost beyond what their sources did.

    `vanished` documents were in the index and are not, though nobody deleted them: all of theirs is lost.
    """
    surviving = before.keys() & after.keys()
    expected_chunks = expected_tokens = chunks = tokens = 0.0
    for key in surviving:
        was, now = before[key], after[key]
        share = min(1.0, now.size / was.size) if was.size else 1.0
        expected_chunks += was.chunks * share
        expected_tokens += was.tokens * share
        chunks += min(now.chunks, was.chunks * share)
        tokens += min(now.tokens, was.tokens * share)
    expected_chunks += sum(before[key].chunks for key in vanished)
    expected_tokens += sum(before[key].tokens for key in vanished)
    return _drop(expected_chunks, chunks), _drop(expected_tokens, tokens)


def _drop(expected: float, found: float) -> float:
    return (expected - found) / expected if expected else 0.0


def deleted(session: Session, live: Generation, candidate: Generation) -> set[tuple[int, str]]:
    """Documents with a deletion between the pins of the two, and all of sources that were removed.

    Read from the change log, not from what the build made of it.
    """
    found: set[tuple[int, str]] = set()
    pins = generations.pins(session, candidate.tenant_id, candidate.number)
    for source_id, before in generations.pins(session, live.tenant_id, live.number).items():
        if source_id in pins:
            query = select(Change.key).where(
                Change.scope == candidate.tenant_id,
                Change.source_id == source_id,
                Change.op == "delete",
                Change.seq > before.seq,
                Change.seq <= pins[source_id].seq,
            )
        elif session.get_one(Source, source_id).removed_at is not None:
            query = select(GenerationDocument.key).where(
                GenerationDocument.tenant_id == live.tenant_id,
                GenerationDocument.generation == live.number,
                GenerationDocument.source_id == source_id,
            )
        else:
            continue
        found.update((source_id, key) for key in session.scalars(query))
    return found


def extents(
    session: Session, generation: Generation, *, served: bool = False
) -> dict[tuple[int, str], Extent]:
    """Each document's extent in a generation; what rejection or quarantine keeps has its old one.

    The size is that of the newest version, which may be unreadable, or of the one that is `served`.
    """
    version = GenerationDocument.wanted_id
    sized = func.coalesce(GenerationDocument.change_id, version) if served else version
    tokens = (
        select(Chunk.parsed_id, func.sum(Chunk.tokens).label("tokens"), func.count().label("chunks"))
        .where(
            Chunk.parsed_id.in_(
                select(GenerationDocument.parsed_id).where(
                    GenerationDocument.tenant_id == generation.tenant_id,
                    GenerationDocument.generation == generation.number,
                )
            )
        )
        .group_by(Chunk.parsed_id)
        .subquery()
    )
    query = (
        select(
            GenerationDocument.source_id,
            GenerationDocument.key,
            Change.size,
            func.coalesce(tokens.c.chunks, 0),
            func.coalesce(tokens.c.tokens, 0),
        )
        .join(Change, Change.id == sized)
        .outerjoin(tokens, tokens.c.parsed_id == GenerationDocument.parsed_id)
        .where(
            GenerationDocument.tenant_id == generation.tenant_id,
            GenerationDocument.generation == generation.number,
        )
    )
    return {
        (source_id, key): Extent(size, int(chunks), int(total))
        for source_id, key, size, chunks, total in session.execute(query)
    }
