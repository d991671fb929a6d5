"""Verdicts, alerts and run keys: what is written once, and what it is keyed by."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from datetime import timedelta

from registry import alerts, runs, verdicts
from registry.database import Registry
from registry.verdicts import CHECKS, Verdict
from tests.support.racing import ask_for_run, raise_alert
from tests.support.registry_rows import START, add_tenant, begin_generation


def test_verdicts_are_kept_by_digest_contract_and_canaries(registry: Registry) -> None:
    with registry.write() as session:
        candidate = begin_generation(session, add_tenant(session), digest="d1")
        tenant_id = candidate.tenant_id
        first = [Verdict(name, True, "fine", details={"n": 1}) for name in reversed(CHECKS)]
        verdicts.store(session, candidate, "contract", "canaries", first, START)
        assert verdicts.of_candidate(session, tenant_id, "d1", "contract", "canaries") == first[::-1]
        for key in (("d2", "contract", "canaries"), ("d1", "other", "canaries"), ("d1", "contract", "other")):
            assert verdicts.of_candidate(session, tenant_id, *key) == []
        again = replace(first[0], passed=False, summary="not fine", blocking=False)
        verdicts.store(session, candidate, "contract", "canaries", [again], START)
        found = verdicts.of_candidate(session, tenant_id, "d1", "contract", "canaries")
        assert [v.passed for v in found] == [True] * 5 + [False]
        assert not again.holds_back


def test_the_newest_verdicts_on_a_generation(registry: Registry) -> None:
    with registry.write() as session:
        candidate = begin_generation(session, add_tenant(session), digest="d1")
        for hour, contract in ((2, "newer"), (1, "older")):
            told = [Verdict(CHECKS[0], hour == 2, contract)]
            verdicts.store(session, candidate, contract, "c", told, START + timedelta(hours=hour))
        assert verdicts.of_generation(session, candidate.tenant_id, candidate.number) == [
            Verdict(CHECKS[0], True, "newer")
        ]


def test_generations_of_one_digest_share_their_verdicts(registry: Registry) -> None:
    with registry.write() as session:
        first = begin_generation(session, add_tenant(session), digest="d1")
        tenant_id, told = first.tenant_id, [Verdict(CHECKS[0], True, "fine")]
        verdicts.store(session, first, "contract", "c", told, START)
        first.status = "live"
        second = begin_generation(session, tenant_id, digest="d1")
        verdicts.store(session, second, "contract", "c", told, START)
        other = begin_generation(session, tenant_id, digest="")
        for generation in (first, second):
            assert verdicts.of_generation(session, tenant_id, generation.number) == told
        assert verdicts.of_generation(session, tenant_id, other.number) == []


def test_a_check_that_is_not_blocking_does_not_hold_back() -> None:
    assert Verdict("c", False, "").holds_back
    assert not Verdict("c", False, "", blocking=False).holds_back
    assert not Verdict("c", True, "").holds_back


def test_the_same_event_is_told_once(registry: Registry) -> None:
    with registry.write() as session:
        acme, beta = add_tenant(session, "acme"), add_tenant(session, "beta")
        details = {"position": "p1", "at": START}
        raised = alerts.raise_alert(session, acme, "held", "subject", details, START)
        assert raised is not None
        same = dict(reversed(details.items()))
        assert alerts.raise_alert(session, acme, "held", "subject", same, START + timedelta(days=9)) is None
        assert alerts.raise_alert(session, beta, "held", "subject", details, START) is not None
        for other in (("other", "subject", details), ("held", "other", details), ("held", "subject", {})):
            assert alerts.raise_alert(session, acme, *other, START) is not None


def test_an_alert_waits_until_it_is_delivered(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
        ids = []
        for number in range(3):
            raised = alerts.raise_alert(session, tenant_id, "kind", f"{number}", {}, START)
            assert raised is not None
            ids.append(raised.id)
    with registry.write() as session:
        alerts.record_delivery(session, ids[0], START)
        alerts.record_failure(session, ids[1], START, "no answer")
    with registry.read() as session:
        waiting = alerts.undelivered(session, START + alerts.FIRST_PAUSE)
        assert [(a.id, a.attempts, a.error) for a in waiting] == [(ids[1], 1, "no answer"), (ids[2], 0, "")]
        assert [a.id for a in alerts.undelivered(session, START + alerts.FIRST_PAUSE, limit=1)] == [ids[1]]


def test_run_keys_count_attempts_with_growing_pauses(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
        now, gaps = START, []
        assert runs.next_run_key(session, tenant_id, "i", now) == "i:1"
        for attempt in range(2, 12):
            waited = timedelta()
            while (key := runs.next_run_key(session, tenant_id, "i", now + waited)) is None:
                waited += timedelta(seconds=10)
            assert key == f"i:{attempt}"
            now += waited
            gaps.append(waited.total_seconds())
        assert gaps == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
        assert runs.next_run_key(session, tenant_id, "another", now) == "another:1"
        assert runs.next_run_key(session, add_tenant(session, "beta"), "i", now) == "i:1"


def test_outcomes_of_runs(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
        assert runs.outcome(session, "r") is None
        runs.record_outcome(session, "r", tenant_id, {"status": "unchanged"}, START)
        runs.record_outcome(session, "r", tenant_id, {"status": "published", "checks": [1]}, START)
    with registry.read() as session:
        assert runs.outcome(session, "r") == {"status": "published", "checks": [1]}


def test_two_processes_tell_and_ask_once(registry: Registry, registry_url: str) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for race in range(5):
            with registry.write() as session:
                tenant_id = add_tenant(session, f"race-{race}")
            calls = [(registry_url, tenant_id)] * 2
            assert sorted(pool.starmap(raise_alert, calls, chunksize=1)) == [False, True]
            assert sorted(pool.starmap(ask_for_run, calls, chunksize=1), key=str) == [None, "identity:1"]
