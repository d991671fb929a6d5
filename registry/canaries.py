"""Canaries in the registry, and the runs that asked them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from registry.locking import lock_tenant
from registry.schema import Canary, CanaryAnswer, CanaryRun


@dataclass(frozen=True, slots=True)
class Question:
    """A canary: a query and the keys of the documents that answer it."""

    id: str
    query: str
    relevant: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one canary: documents found, best first; recall is None where it was excused."""

    canary_id: str
    found: tuple[str, ...]
    recall: float | None
    reciprocal_rank: float | None


def canary_id(query: str) -> str:
    """A canary's id: the same query is the same canary."""
    return hashlib.sha256(query.strip().encode()).hexdigest()[:16]


def replace(session: Session, tenant_id: str, questions: Iterable[Question], now: datetime) -> int:
    """Put a new set of canaries in the place of the old one and give its size. Raises NotFound."""
    lock_tenant(session, tenant_id)
    session.execute(delete(Canary).where(Canary.tenant_id == tenant_id))
    return merge(session, tenant_id, questions, now)


def merge(session: Session, tenant_id: str, questions: Iterable[Question], now: datetime) -> int:
    """Add canaries; one with the same query is replaced. Gives how many were written. Raises NotFound."""
    lock_tenant(session, tenant_id)
    written = {question.id: question for question in questions}
    for question in written.values():
        session.merge(
            Canary(
                tenant_id=tenant_id,
                id=question.id,
                query=question.query,
                relevant=list(question.relevant),
                created_at=now,
            )
        )
    session.flush()
    return len(written)


def of_tenant(session: Session, tenant_id: str) -> list[Question]:
    """A tenant's canaries in id order."""
    query = select(Canary).where(Canary.tenant_id == tenant_id).order_by(Canary.id)
    return [Question(row.id, row.query, tuple(row.relevant)) for row in session.scalars(query)]


def set_hash(questions: Sequence[Question]) -> str:
    """64 hex digits over a whole set, order aside."""
    encoded = json.dumps(sorted([q.id, q.query, sorted(q.relevant)] for q in questions))
    return hashlib.sha256(encoded.encode()).hexdigest()


def store_run(
    session: Session,
    *,
    tenant_id: str,
    generation: int,
    kind: str,
    canary_hash: str,
    contract_hash: str,
    k: int,
    answers: Sequence[Answer],
    recall: float | None,
    mrr: float | None,
    passed: bool,
    details: dict[str, Any],
    now: datetime,
) -> CanaryRun:
    """Record one asking with every answer. Raises NotFound for a tenant that was erased."""
    lock_tenant(session, tenant_id)
    run = CanaryRun(
        tenant_id=tenant_id,
        generation=generation,
        kind=kind,
        canary_hash=canary_hash,
        contract_hash=contract_hash,
        k=k,
        queries=len(answers),
        excused=sum(answer.recall is None for answer in answers),
        recall=recall,
        mrr=mrr,
        passed=passed,
        details=details,
        at=now,
    )
    session.add(run)
    session.flush()
    session.add_all(
        CanaryAnswer(
            run_id=run.id,
            canary_id=answer.canary_id,
            found=list(answer.found),
            recall=answer.recall,
            reciprocal_rank=answer.reciprocal_rank,
        )
        for answer in answers
    )
    return run


def newest_run(session: Session, tenant_id: str, generation: int, kind: str) -> CanaryRun | None:
    """The newest run of a kind on a generation."""
    query = (
        select(CanaryRun)
        .where(
            CanaryRun.tenant_id == tenant_id,
            CanaryRun.generation == generation,
            CanaryRun.kind == kind,
        )
        .order_by(CanaryRun.id.desc())
        .limit(1)
    )
    return session.scalar(query)


def answers(session: Session, run_id: int) -> dict[str, Answer]:
    """A run's answers by canary."""
    query = select(CanaryAnswer).where(CanaryAnswer.run_id == run_id)
    return {
        row.canary_id: Answer(row.canary_id, tuple(row.found), row.recall, row.reciprocal_rank)
        for row in session.scalars(query)
    }
