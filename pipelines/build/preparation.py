"""Parsing and chunking of what changed, remembered per input and configuration.

The outcome of an input is stored once, failures included: unchanged text is never parsed or chunked
again, and a document that cannot be parsed waits in quarantine without being tried at every run; it is tried
again when a person asks for it (`registry.dead_letters`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from pipelines.build.configuration import BuildConfiguration
from pipelines.build.documents import Wanted
from pipelines.build.fence import Fence
from pipelines.build.prepared import Prepare, PreparedChunk, PreparedDocument
from pipelines.build.progress import Progress
from pipelines.errors import ParseAborted, ParseError
from registry import changelog
from registry.crash_points import crash_point
from registry.database import Registry
from registry.schema import Change, Chunk, Content, ParsedDocument

BATCH = 32


@dataclass(slots=True)
class Preparation:
    """What preparing a set of documents took."""

    prepared: int = 0
    remembered: int = 0
    failed: int = 0


def input_digest(change: Change) -> str:
    """What a parse depends on: the content, its media type and the given title."""
    fields = json.dumps([change.content_sha256, change.media_type, change.title])
    return hashlib.sha256(fields.encode()).hexdigest()


def prepare_documents(
    registry: Registry,
    fence: Fence,
    change_ids: Sequence[int],
    configuration: BuildConfiguration,
    prepare: Prepare,
    progress: Progress,
) -> Preparation:
    """Parse and chunk these versions where that was not done yet, a batch a transaction.

    Raises IngestRefused where the run was fenced off, TenantSuspended.
    """
    outcome, tenant_id = Preparation(), fence.tenant_id
    progress.begin("documents", len(change_ids))
    for batch in _batched(change_ids):
        with registry.read() as session:
            changes = changelog.changes_by_id(session, batch)
            missing = _missing(session, tenant_id, changes.values(), configuration.parse_hash)
            bodies = _bodies(session, tenant_id, missing)
        outcome.remembered += len(changes) - len(missing)
        for done in _attempts(missing, bodies, prepare):
            with registry.write() as session:
                fence.check(session)
                for change, result in done:
                    _store(session, tenant_id, change, configuration.parse_hash, result)
                crash_point("prepare:before-commit")
            crash_point("prepare:after-commit")
            outcome.failed += sum(isinstance(result, ParseError) for _, result in done)
            outcome.prepared += len(done)
        progress.advance("documents", len(batch))
    return outcome


def _batched(ids: Sequence[int]) -> Iterator[list[int]]:
    for start in range(0, len(ids), BATCH):
        yield list(ids[start : start + BATCH])


def _missing(session: Session, tenant_id: str, changes: Iterable[Change], parse_hash: str) -> list[Change]:
    by_input = {input_digest(change): change for change in changes if change.op == "upsert"}
    query = select(ParsedDocument.input_sha256).where(
        ParsedDocument.tenant_id == tenant_id,
        ParsedDocument.build == parse_hash,
        ParsedDocument.input_sha256.in_(list(by_input)),
        ParsedDocument.forgotten.is_(False),
    )
    known = set(session.scalars(query))
    return [change for digest, change in by_input.items() if digest not in known]


def _bodies(session: Session, tenant_id: str, changes: Sequence[Change]) -> dict[str, bytes]:
    query = select(Content.sha256, Content.body).where(
        Content.scope == tenant_id, Content.sha256.in_({change.content_sha256 for change in changes})
    )
    return {row.sha256: row.body for row in session.execute(query)}


def _attempts(
    changes: Sequence[Change], bodies: dict[str, bytes], prepare: Prepare
) -> Iterator[list[tuple[Change, PreparedDocument | ParseError]]]:
    """What came of a batch, to be kept as it comes: a document that used up its time is not to be tried twice."""
    done: list[tuple[Change, PreparedDocument | ParseError]] = []
    for change in changes:
        result = _attempt(change, bodies, prepare)
        done.append((change, result))
        if isinstance(result, ParseAborted):
            yield done
            done = []
    yield done


def _attempt(change: Change, bodies: dict[str, bytes], prepare: Prepare) -> PreparedDocument | ParseError:
    try:
        return prepare(bodies[change.content_sha256], change.media_type, change.title)
    except ParseError as error:
        return error


def _store(
    session: Session, tenant_id: str, change: Change, parse_hash: str, result: PreparedDocument | ParseError
) -> None:
    parsed = _outcome(session, tenant_id, change, parse_hash)
    parsed.title = "" if isinstance(result, ParseError) else result.title
    parsed.chunks = 0 if isinstance(result, ParseError) else len(result.chunks)
    parsed.error = str(result) if isinstance(result, ParseError) else ""
    session.flush()
    if not isinstance(result, ParseError) and result.chunks:
        session.execute(
            insert(Chunk), [_chunk_row(parsed.id, i, chunk) for i, chunk in enumerate(result.chunks)]
        )


def _outcome(session: Session, tenant_id: str, change: Change, parse_hash: str) -> ParsedDocument:
    """The row of this input: a new one, or a failure that was to be forgotten, one attempt older."""
    key = {"tenant_id": tenant_id, "input_sha256": input_digest(change), "build": parse_hash}
    forgotten = session.scalar(select(ParsedDocument).filter_by(**key, forgotten=True))
    if forgotten is None:
        made = ParsedDocument(**key)
        session.add(made)
        return made
    forgotten.attempts, forgotten.forgotten = forgotten.attempts + 1, False
    return forgotten


def _chunk_row(parsed_id: int, ordinal: int, chunk: PreparedChunk) -> dict[str, Any]:
    return {
        "parsed_id": parsed_id,
        "ordinal": ordinal,
        "text": chunk.text,
        "text_sha256": hashlib.sha256(chunk.text.encode()).hexdigest(),
        "heading": list(chunk.heading),
        "tokens": chunk.tokens,
        "terms": chunk.terms,
        "length": chunk.length,
    }


def parsed_by_change(
    session: Session, tenant_id: str, change_ids: Sequence[int], parse_hash: str
) -> dict[int, ParsedDocument]:
    """The outcome of each version's preparation; versions that were never prepared are left out."""
    changes = changelog.changes_by_id(session, list(change_ids))
    inputs = {change_id: input_digest(change) for change_id, change in changes.items()}
    found: dict[str, ParsedDocument] = {}
    wanted = sorted(set(inputs.values()))
    for start in range(0, len(wanted), 500):
        query = select(ParsedDocument).where(
            ParsedDocument.tenant_id == tenant_id,
            ParsedDocument.build == parse_hash,
            ParsedDocument.input_sha256.in_(wanted[start : start + 500]),
        )
        found.update((row.input_sha256, row) for row in session.scalars(query))
    return {change_id: found[digest] for change_id, digest in inputs.items() if digest in found}


def needing_preparation(wanted: Iterable[Wanted], parse_hash: str, base_parse_hash: str | None) -> list[int]:
    """Versions that a build must have prepared: new ones, and all of them where the configuration changed."""
    ids: list[int] = []
    for document in wanted:
        base = document.base
        if base is None or document.is_new_version or parse_hash != base_parse_hash or base.state != "live":
            ids.append(document.change_id)
            if base is not None and base.change_id is not None and base.change_id != document.change_id:
                ids.append(base.change_id)
    return ids
