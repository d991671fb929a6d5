"""The daily canaries: the live generation is immutable and its search deterministic, so any loss is news."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from sqlalchemy.orm import Session

from canaries.asking import Asked, ask, earlier, lost
from canaries.checks.recall import below_floor
from canaries.errors import CanaryCrashed
from canaries.naming import red_canaries
from registry import alerts, canaries, contracts, generations, publication, tenants
from registry.canaries import Question
from registry.clock import Clock
from registry.contract import Contract
from registry.crash_points import crash_point
from registry.database import Registry
from registry.errors import RegistryError, RollbackRefused
from registry.locking import lock_tenant
from registry.schema import CanaryRun, Generation
from retrieval.errors import RetrievalError
from retrieval.search.searcher import Searcher


@dataclass(frozen=True, slots=True)
class DailyResult:
    """One day's asking. `passed` is False where a floor broke or an answer was lost unexplained.

    `red_canaries` are those behind the faults, by question and documents (canaries/naming.py).
    """

    tenant: str
    generation: int | None
    status: str
    passed: bool
    queries: int = 0
    excused: int = 0
    recall: float | None = None
    mrr: float | None = None
    k: int = 10
    lost: tuple[str, ...] = ()
    red_canaries: tuple[dict[str, Any], ...] = ()
    faults: tuple[str, ...] = ()
    rolled_back_to: int | None = None
    details: dict[str, Any] = field(default_factory=dict)


def sample(questions: Sequence[Question], size: int, day: date) -> list[Question]:
    """The day's questions: drawn by the date, so that a rerun asks the same."""
    if len(questions) <= size:
        return list(questions)
    ordered = sorted(questions, key=lambda question: question.id)
    draw = random.Random(day.isoformat())  # noqa: S311 - a repeatable sample, not a secret
    return draw.sample(ordered, size)


def ask_today(
    registry: Registry, searcher: Searcher, tenant_id: str, clock: Clock, everything: bool = False
) -> DailyResult:
    """Ask the day's canaries of the live generation, compare with the gate, store the run, raise an alert.

    Raises CanaryCrashed where asking itself failed: that says nothing about recall. Raises NotFound or TenantSuspended
    where the tenant was erased or suspended, also while its canaries were asked.
    """
    with registry.read() as session:
        tenant = tenants.find_active(session, tenant_id)
        contract = contracts.current(session, tenant.id)
        live = generations.live(session, tenant.id)
        questions = canaries.of_tenant(session, tenant.id)
    if live is None or not questions:
        status = "unpublished" if live is None else "unguarded"
        return DailyResult(tenant.name, live.number if live else None, status, passed=False, k=contract.k)
    chosen = questions if everything else sample(questions, contract.canary_sample, clock().date())
    try:
        asked = ask(registry, searcher, tenant.id, live.number, chosen, contract.k)
    except (RetrievalError, RegistryError) as error:
        with registry.read() as session:
            now_live = tenants.find_active(session, tenant_id).live_generation
        if now_live != live.number:  # published over and removed while it was asked
            return ask_today(registry, searcher, tenant_id, clock, everything)
        raise CanaryCrashed(
            f"the canaries of tenant {tenant.name} could not be asked of generation {live.number}: {error}"
        ) from error
    return _judge(registry, tenant.name, live, contract, questions, asked, clock)


def _judge(
    registry: Registry,
    name: str,
    live: Generation,
    contract: Contract,
    questions: Sequence[Question],
    asked: Asked,
    clock: Clock,
) -> DailyResult:
    with registry.read() as session:
        gate = canaries.newest_run(session, live.tenant_id, live.number, "gate")
        before = canaries.answers(session, gate.id) if gate else {}
    missing = lost(before, asked)
    # What other canaries kept at the gate says nothing of these.
    same = gate if gate is not None and gate.canary_hash == canaries.set_hash(questions) else None
    faults = [] if _floor_held(contract, same, earlier(before, asked), asked) else _below(contract, asked)
    if missing:
        faults.append(f"{len(missing)} canaries lost an answer that they had at the gate")
    result = DailyResult(
        name,
        live.number,
        "unguarded" if asked.recall is None else ("failed" if faults else "passed"),
        passed=not faults and asked.recall is not None,
        queries=asked.counted,
        excused=len(asked.answers) - asked.counted,
        recall=asked.recall,
        mrr=asked.mrr,
        k=contract.k,
        lost=tuple(missing),
        red_canaries=tuple(red_canaries(questions, asked, missing, failed=bool(faults))),
        faults=tuple(faults),
    )
    return _record(registry, live, contract, questions, asked, result, clock)


def _below(contract: Contract, asked: Asked) -> list[str]:
    return [] if asked.recall is None or asked.mrr is None else below_floor(contract, asked.recall, asked.mrr)


def _floor_held(contract: Contract, gate: CanaryRun | None, then: Asked, asked: Asked) -> bool:
    """Whether a mean below the floor says nothing: at the gate all canaries together kept this very floor,
    and these few, judged by what is still relevant, were below it then too.
    """
    if gate is None or gate.recall is None or gate.mrr is None or then.counted < asked.counted:
        return False
    return not below_floor(contract, gate.recall, gate.mrr) and bool(_below(contract, then))


def _record(
    registry: Registry,
    live: Generation,
    contract: Contract,
    questions: Sequence[Question],
    asked: Asked,
    result: DailyResult,
    clock: Clock,
) -> DailyResult:
    now = clock()
    with registry.write() as session:
        canaries.store_run(
            session,
            tenant_id=live.tenant_id,
            generation=live.number,
            kind="daily",
            canary_hash=canaries.set_hash(questions),
            contract_hash=contract.hash,
            k=contract.k,
            answers=asked.answers,
            recall=asked.recall,
            mrr=asked.mrr,
            passed=result.passed,
            details={"lost": list(result.lost), "faults": list(result.faults)},
            now=now,
        )
        if result.faults:
            _alert(session, live, result, now)
            if contract.roll_back_on_canary_failure:
                result = _step_back(session, live, result, now)
        crash_point("canaries:before-commit")
    crash_point("canaries:after-commit")
    return result


def _alert(session: Session, live: Generation, result: DailyResult, now: datetime) -> None:
    alerts.raise_alert(
        session,
        live.tenant_id,
        "canary_failed",
        f"canaries of tenant {result.tenant}, generation {live.number}: {'; '.join(result.faults)}",
        {
            "generation": live.number,
            "day": now.date().isoformat(),
            "lost": list(result.lost),
            "red_canaries": list(result.red_canaries),
        },
        now,
    )


def _step_back(session: Session, live: Generation, result: DailyResult, now: datetime) -> DailyResult:
    tenant = lock_tenant(session, live.tenant_id)
    if tenant.held_at is not None or tenant.live_generation != live.number:
        # One step only, and only from what was asked: a person, or the canaries before, moved the pointer.
        return replace(result, details={"rollback": "not rolled back: held, or no longer live"})
    try:
        target = publication.roll_back(session, live.tenant_id, now, reason="a daily canary was red")
    except RollbackRefused as error:
        return replace(result, details={"rollback": str(error)})
    return replace(result, rolled_back_to=target)
