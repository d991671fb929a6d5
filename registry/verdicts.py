"""Verdicts: what each check said of a candidate, under which contract and canaries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from registry.schema import Generation
from registry.schema import Verdict as VerdictRow

CHECKS = (
    "embedding_model_matches",
    "index_reconciles",
    "chunk_count_holds",
    "lexical_parity",
    "canary_recall",
    "canary_coverage",
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One check's outcome. A failure that is not `blocking` is shown (never green) but does not hold back."""

    name: str
    passed: bool
    summary: str
    blocking: bool = True
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def holds_back(self) -> bool:
        """Whether this verdict forbids publication."""
        return self.blocking and not self.passed


def store(
    session: Session,
    generation: Generation,
    contract_hash: str,
    canary_hash: str,
    verdicts: Iterable[Verdict],
    now: datetime,
) -> None:
    """Write (or write again) what the checks said of a candidate's digest."""
    for verdict in verdicts:
        session.merge(
            VerdictRow(
                tenant_id=generation.tenant_id,
                digest=generation.digest,
                contract_hash=contract_hash,
                canary_hash=canary_hash,
                check=verdict.name,
                generation=generation.number,
                passed=verdict.passed,
                blocking=verdict.blocking,
                summary=verdict.summary,
                details=verdict.details,
                decided_at=now,
            )
        )
    session.flush()


def of_candidate(
    session: Session, tenant_id: str, digest: str, contract_hash: str, canary_hash: str
) -> list[Verdict]:
    """The verdicts on a digest under this contract and these canaries, in the order of CHECKS."""
    query = select(VerdictRow).where(
        VerdictRow.tenant_id == tenant_id,
        VerdictRow.digest == digest,
        VerdictRow.contract_hash == contract_hash,
        VerdictRow.canary_hash == canary_hash,
    )
    found = {row.check: row for row in session.scalars(query)}
    return [
        Verdict(row.check, row.passed, row.summary, row.blocking, dict(row.details))
        for name in CHECKS
        if (row := found.get(name)) is not None
    ]


def of_generation(session: Session, tenant_id: str, number: int) -> list[Verdict]:
    """The newest verdicts on a generation, whatever contract they were made under, in the order of CHECKS.

    Verdicts are on what an index holds: generations of one digest share them.
    """
    digest = select(Generation.digest).where(
        Generation.tenant_id == tenant_id, Generation.number == number, Generation.digest != ""
    )
    query = (
        select(VerdictRow)
        .where(VerdictRow.tenant_id == tenant_id, VerdictRow.digest == digest.scalar_subquery())
        .order_by(VerdictRow.decided_at)
    )
    newest = {row.check: row for row in session.scalars(query)}
    return [
        Verdict(row.check, row.passed, row.summary, row.blocking, dict(row.details))
        for name in CHECKS
        if (row := newest.get(name)) is not None
    ]
