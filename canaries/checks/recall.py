"""`canary_recall`: known answers are still found, by the floor and against the live generation now."""

from __future__ import annotations

import logging

from canaries.asking import Asked, ask, earlier, lost
from canaries.checks.candidate import CandidateUnderTest
from canaries.naming import red_canaries
from registry import canaries
from registry.contract import Contract
from registry.verdicts import Verdict
from retrieval.errors import RetrievalError

log = logging.getLogger("holdfast.gate")

NAME = "canary_recall"
SHOWN = 10
# Means are floats: 0.8 - 0.1 is a little more than 0.7, and what is exactly at a floor keeps it.
ROUNDING = 1e-9


def check(under_test: CandidateUnderTest) -> tuple[Verdict, Asked]:
    """Ask all canaries of the candidate, and of the live generation, and compare query by query."""
    candidate = _ask(under_test, under_test.candidate.number)
    live = _live(under_test, candidate)
    if candidate.recall is None or candidate.mrr is None:
        return _unguarded(under_test), candidate
    return _verdict(under_test, candidate, live), candidate


def not_asked(why: str) -> tuple[Verdict, Asked]:
    """The verdict where asking makes no sense: failed, and saying why."""
    return Verdict(NAME, False, f"not asked: {why}", details={"status": "not_asked"}), Asked(())


def _ask(under_test: CandidateUnderTest, number: int) -> Asked:
    return ask(
        under_test.registry,
        under_test.searcher,
        under_test.candidate.tenant_id,
        number,
        under_test.questions,
        under_test.contract.k,
    )


def _live(under_test: CandidateUnderTest, candidate: Asked) -> Asked | None:
    """The live generation's answers now; what it answered at its own gate where it can no longer be asked.

    A model that is gone or changed must not keep the generation that replaces it from being judged.
    """
    if under_test.live is None:
        return None
    try:
        return _ask(under_test, under_test.live.number)
    except RetrievalError as error:
        log.warning("the live generation cannot be asked, its answers at the gate stand in: %s", error)
    with under_test.registry.read() as session:
        run = canaries.newest_run(session, under_test.live.tenant_id, under_test.live.number, "gate")
        return earlier(canaries.answers(session, run.id), candidate) if run else None


def _unguarded(under_test: CandidateUnderTest) -> Verdict:
    why = "there are no canaries" if not under_test.questions else "every canary's documents are deleted"
    return Verdict(
        NAME,
        False,
        f"unguarded: {why}; `holdfast canary import` gives known answers",
        blocking=False,
        details={"status": "unguarded", "queries": 0},
    )


def _verdict(under_test: CandidateUnderTest, candidate: Asked, live: Asked | None) -> Verdict:
    contract = under_test.contract
    assert candidate.recall is not None
    assert candidate.mrr is not None
    faults = below_floor(contract, candidate.recall, candidate.mrr)
    worse: list[str] = []
    if live is not None and live.recall is not None and live.mrr is not None:
        worse = lost({answer.canary_id: answer for answer in live.answers}, candidate)
        if candidate.recall < live.recall - contract.allowed_drop - ROUNDING:
            faults.append(f"recall fell from {live.recall:.3f} to {candidate.recall:.3f}")
        if candidate.mrr < live.mrr - contract.allowed_drop - ROUNDING:
            faults.append(f"MRR fell from {live.mrr:.3f} to {candidate.mrr:.3f}")
    k = contract.k
    text = f"recall@{k} {candidate.recall:.3f}, MRR@{k} {candidate.mrr:.3f} over {candidate.counted} canaries"
    return Verdict(
        NAME,
        not faults,
        text if not faults else f"{'; '.join(faults)} ({text})",
        details={
            "recall": candidate.recall,
            "mrr": candidate.mrr,
            "live_recall": live.recall if live else None,
            "live_mrr": live.mrr if live else None,
            "recall_floor": contract.recall_floor,
            "mrr_floor": contract.mrr_floor,
            "k": k,
            "queries": candidate.counted,
            "excused": len(candidate.answers) - candidate.counted,
            "lost": worse[:SHOWN],
            "lost_queries": len(worse),
            "red_canaries": red_canaries(under_test.questions, candidate, worse, failed=bool(faults)),
        },
    )


def below_floor(contract: Contract, recall: float, mrr: float) -> list[str]:
    """Which floors of a contract are broken, in words."""
    faults = []
    if recall < contract.recall_floor - ROUNDING:
        faults.append(f"recall@{contract.k} {recall:.3f} is below the floor of {contract.recall_floor:.3f}")
    if mrr < contract.mrr_floor - ROUNDING:
        faults.append(f"MRR@{contract.k} {mrr:.3f} is below the floor of {contract.mrr_floor:.3f}")
    return faults
