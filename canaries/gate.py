"""The gate: six checks on a candidate, their verdicts in the registry, its canaries' answers beside them."""

from __future__ import annotations

from sqlalchemy.orm import Session

from canaries.asking import Asked
from canaries.checks import chunk_count, coverage, embedding_model, lexical_parity, recall, reconciliation
from canaries.checks.candidate import CandidateUnderTest
from registry import alerts, canaries, contracts, generations, leases, vectors, verdicts
from registry.clock import Clock
from registry.crash_points import crash_point
from registry.database import Registry
from registry.errors import LeaseLost
from registry.locking import lock_tenant
from registry.schema import Generation, Tenant
from registry.verdicts import Verdict
from retrieval.encoder.identity import ModelIdentity
from retrieval.index.store import GenerationStore
from retrieval.search.encoders import Encoders
from retrieval.search.searcher import Searcher


def put_under_test(
    registry: Registry,
    store: GenerationStore,
    searcher: Searcher,
    encoders: Encoders,
    model: ModelIdentity,
    tenant_id: str,
    number: int,
) -> CandidateUnderTest:
    """A candidate with the live generation, the contract and the canaries as they are now."""
    with registry.read() as session:
        return CandidateUnderTest(
            registry,
            store,
            searcher,
            encoders,
            model,
            generations.get(session, tenant_id, number),
            generations.live(session, tenant_id),
            contracts.current(session, tenant_id),
            canaries.of_tenant(session, tenant_id),
        )


def judge(under_test: CandidateUnderTest, clock: Clock) -> list[Verdict]:
    """Run all checks and store what they said; a candidate that one of them holds back is rejected.

    A check that crashes raises: a crash is no verdict, and the candidate stays unpublished without one.
    Raises LeaseLost where another run took the tenant over: what this one found is not kept.
    """
    model = embedding_model.check(under_test)
    # Vectors of one model cannot be asked with another: without a match there is nothing to measure.
    recalled, asked = recall.check(under_test) if model.passed else recall.not_asked(model.summary)
    found = [
        model,
        reconciliation.check(under_test),
        chunk_count.check(under_test),
        lexical_parity.check(under_test),
        recalled,
        coverage.check(under_test),
    ]
    crash_point("gate:before-verdicts")
    _store(under_test, found, asked, clock)
    crash_point("gate:after-verdicts")
    return found


def _store(under_test: CandidateUnderTest, found: list[Verdict], asked: Asked, clock: Clock) -> None:
    candidate, contract, now = under_test.candidate, under_test.contract, clock()
    canary_hash = canaries.set_hash(under_test.questions)
    with under_test.registry.write() as session:
        _refuse_if_fenced(session, candidate)
        verdicts.store(session, candidate, contract.hash, canary_hash, found, now)
        canaries.store_run(
            session,
            tenant_id=candidate.tenant_id,
            generation=candidate.number,
            kind="gate",
            canary_hash=canary_hash,
            contract_hash=contract.hash,
            k=contract.k,
            answers=asked.answers,
            recall=asked.recall,
            mrr=asked.mrr,
            passed=not any(verdict.holds_back for verdict in found),
            details={},
            now=now,
        )
        refusing = [verdict for verdict in found if verdict.holds_back]
        if any(verdict.name == embedding_model.NAME for verdict in refusing):
            # Kept, they would be found again by the next build, and no run would ever start clean.
            vectors.forget_unproven(session, candidate, under_test.live)
        if refusing:
            generations.reject(session, candidate)
            name = session.get_one(Tenant, candidate.tenant_id).name
            alerts.raise_alert(
                session,
                candidate.tenant_id,
                "live_below_contract" if candidate.status == "live" else "candidate_rejected",
                f"generation {candidate.number} of tenant {name} "
                + ("is live and breaks its contract: " if candidate.status == "live" else "was rejected: ")
                + "; ".join(f"{verdict.name}: {verdict.summary}" for verdict in refusing),
                {"generation": candidate.number, "checks": [verdict.name for verdict in refusing]},
                now,
            )


def _refuse_if_fenced(session: Session, candidate: Generation) -> None:
    # Its refusal would forget vectors that the other run has found stored and builds on.
    name = lock_tenant(session, candidate.tenant_id).name
    if candidate.status != "candidate":
        return  # what is live was built by a run that ended long ago
    if not leases.is_current(session, leases.ingest_lease(candidate.tenant_id), candidate.fencing_token):
        raise LeaseLost(
            f"generation {candidate.number} of tenant {name} was judged by a run that another one has "
            "taken over: the other one's verdict counts"
        )
