"""The client against a simulated provider: keys, budgets, failover, streams, other processes."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from gateway_client.client import GatewayClient
from gateway_client.errors import (
    BudgetExceeded,
    ClientClosed,
    CostCapExceeded,
    DeadlineExceeded,
    GatewayError,
    IdempotencyConflict,
    Paused,
    ProviderError,
    StoreUnavailable,
    Truncated,
    UnknownOutcome,
    UnknownTenant,
)
from gateway_client.ledger import ledger
from gateway_client.policy import KnownTenants, TenantPolicy
from gateway_client.scopes import Span, Unit
from gateway_client.store import schema
from gateway_client.sync import SyncGatewayClient
from tests.support.gateway_audit import rows_at
from tests.support.gateway_calls import HELLO, hello, run, run_audited
from tests.support.gateway_moments import arrived, left, waiting
from tests.support.gateway_one_call import caller
from tests.support.gateway_stores import both_stores


def test_an_answer_names_who_gave_it_and_what_it_cost(settings, simulator) -> None:
    found = run_audited(
        settings, simulator, lambda llm: llm.chat(**HELLO, user="zoltan", document_ids=["d1"])
    )
    assert (found.model, found.provider, found.stored) == (
        "sim-alone",
        "simulated-openai",
        False,
    ) or found.text
    assert found.record.cost > 0
    assert found.record.document_ids == ["d1"]
    assert "zoltan" not in found.record.to_json()


def test_calls_and_spend_are_told(settings, simulator, operator) -> None:
    found = run_audited(settings, simulator, lambda llm: llm.chat(**HELLO, feature="digest"))
    (call,) = operator.calls(tenant="acme")
    assert (call["outcome"], call["answered_by"], call["cost_micro"]) == (
        "ok",
        "sim-alone",
        found.record.cost,
    )
    (row,) = operator.spend(["tenant", "feature", "model"], Span.DAY)
    assert (row["feature"], row["cost_micro"], row["attempts"]) == ("digest", found.record.cost, 1)


@both_stores
def test_a_key_is_dispatched_once_however_many_ask(settings, simulator) -> None:
    async def many(llm: GatewayClient) -> Any:
        return await asyncio.gather(*(llm.chat(**HELLO, idempotency_key="k") for _ in range(5)))

    found = run_audited(settings, simulator, many)
    assert len(simulator.log) == 1
    assert len({one.text for one in found}) == 1
    assert sorted(one.stored for one in found) == [False, True, True, True, True]
    again = run_audited(settings, simulator, lambda llm: llm.chat(**HELLO, idempotency_key="k"))
    assert again.stored
    assert len(simulator.log) == 1


def test_a_key_with_another_body_is_refused(settings, simulator) -> None:
    async def both(llm: GatewayClient) -> None:
        await llm.chat(**HELLO, idempotency_key="k")
        with pytest.raises(IdempotencyConflict, match="another body"):
            await llm.chat(**{**HELLO, "max_tokens": 41}, idempotency_key="k")

    run_audited(settings, simulator, both)
    assert len(simulator.log) == 1


def test_a_key_that_may_have_been_charged_fails_or_is_bought_again_as_asked(settings, simulator) -> None:
    asked = hello("fault=reset; attempts=1,2,3,4,5,6,7,8,9", idempotency_key="k", deadline=1.0)

    async def again(llm: GatewayClient) -> None:
        with pytest.raises(GatewayError):
            await llm.chat(**asked)
        sent = len(simulator.log)
        with pytest.raises(UnknownOutcome, match="on_unknown='buy'"):
            await llm.chat(**asked)
        assert len(simulator.log) == sent
        with pytest.raises(GatewayError):
            await llm.chat(**asked, on_unknown="buy")
        assert len(simulator.log) > sent

    run_audited(settings, simulator, again)


def test_budgets_refuse_before_anything_is_sent(settings, simulator, operator) -> None:
    operator.set_budget("tenant=acme", Span.DAY, Unit.MICRODOLLARS, 10)
    with pytest.raises(BudgetExceeded, match=r"tenant=acme.*10 microdollars per day, 0 used, 0 held"):
        run_audited(settings, simulator, lambda llm: llm.chat(**HELLO))
    assert simulator.log == []


def test_caps_of_calls_and_runs(settings, simulator) -> None:
    async def capped(llm: GatewayClient) -> None:
        with pytest.raises(CostCapExceeded):
            await llm.chat(**HELLO, max_cost=10)
        await llm.chat(**HELLO, run="loop", max_run_cost=700)
        spent = [await llm.chat(**HELLO, run="loop", max_run_cost=700) for _ in range(2)]
        assert spent
        with pytest.raises(BudgetExceeded, match="run=loop"):
            await asyncio.gather(*(llm.chat(**HELLO, run="loop", max_run_cost=700) for _ in range(20)))

    run_audited(settings, simulator, capped)


def test_a_runs_cap_is_the_one_that_was_given_last(settings, simulator) -> None:
    async def capped(llm: GatewayClient) -> None:
        await llm.chat(**HELLO, run="loop", max_run_cost=700)
        with pytest.raises(BudgetExceeded, match=r"run=loop.*10 microdollars"):
            await llm.chat(**HELLO, run="loop", max_run_cost=10)
        await llm.chat(**HELLO, run="loop", max_run_cost=700)

    run_audited(settings, simulator, capped)
    assert len(simulator.log) == 2


def test_unknown_tenants_and_their_terms(settings, simulator) -> None:
    policy = KnownTenants({"acme": TenantPolicy(max_cost_per_call=10)})
    with pytest.raises(UnknownTenant, match="globex"):
        run_audited(settings, simulator, lambda llm: llm.chat(**{**HELLO, "tenant": "globex"}), policy=policy)
    with pytest.raises(CostCapExceeded):
        run_audited(settings, simulator, lambda llm: llm.chat(**HELLO), policy=policy)
    assert simulator.log == []


def test_a_pause_stops_other_processes_at_once(settings, simulator, operator) -> None:
    async def paused(llm: GatewayClient) -> None:
        await llm.chat(**HELLO)
        operator.pause("model", "sim-alone", "incident")
        with pytest.raises(Paused, match=r"model=sim-alone.*incident"):
            await llm.chat(**HELLO)
        operator.resume("model", "sim-alone")
        await llm.chat(**HELLO)

    run_audited(settings, simulator, paused)


def test_a_failing_model_is_replaced_by_an_approved_one(settings, simulator) -> None:
    asked = {**HELLO, "model": "sim-openai"}
    simulator.change(rules=[{"fault": "status", "status": 500, "model": "sim-openai-2026-01-01"}])
    found = run_audited(settings, simulator, lambda llm: llm.chat(**asked))
    assert found.model == "sim-anthropic"
    assert found.record.attempts == 2


def test_a_stream_that_was_seen_is_not_replaced_and_one_that_was_buffered_is(settings, simulator) -> None:
    simulator.change(rules=[{"fault": "cut_stream", "after": 2, "model": "sim-openai-2026-01-01"}])
    asked = {**HELLO, "model": "sim-openai"}

    pieces: list[str] = []

    async def seen(llm: GatewayClient) -> None:
        async for event in await llm.stream(**asked):
            pieces.append(event.text)

    with pytest.raises((Truncated, ProviderError)):
        run_audited(settings, simulator, seen)
    assert pieces
    assert len(simulator.log) == 1

    async def buffered(llm: GatewayClient) -> Any:
        stream = await llm.stream(**asked, buffer=True)
        return await stream.text(), stream.completion

    text, completion = run_audited(settings, simulator, buffered)
    assert completion.model == "sim-anthropic"
    assert text == completion.text


def test_leaving_a_stream_early_still_settles_it(settings, simulator) -> None:
    simulator.change(between_tokens={"seconds": 0.02}, output_tokens=10)

    async def leave(llm: GatewayClient) -> None:
        async with await llm.stream(**HELLO) as stream:
            async for _ in stream:
                break

    run_audited(settings, simulator, leave)
    (row,) = rows_at(settings.store, schema.attempt)
    assert row.state == "settled", "drained in the background"


def test_a_cancelled_caller_pays_for_what_was_sent_and_its_key_has_the_reply(settings, simulator) -> None:
    simulator.change(first_token={"seconds": 0.3})

    async def cancelled(llm: GatewayClient) -> Any:
        with pytest.raises(asyncio.CancelledError):
            await left(llm.chat(**HELLO, idempotency_key="k"), arrived(simulator))
        return await llm.chat(**HELLO, idempotency_key="k")

    assert run_audited(settings, simulator, cancelled).stored
    assert len(simulator.log) == 1


def test_an_outage_costs_one_attempt_a_call_and_a_burst(settings, simulator) -> None:
    simulator.change(rules=[{"fault": "status", "status": 503}])

    async def outage(llm: GatewayClient) -> None:
        asked = [llm.chat(**HELLO, deadline=20.0) for _ in range(30)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(one, GatewayError) for one in found)

    run_audited(settings, simulator, outage)
    assert len(simulator.log) <= 30 + 10


def test_a_retry_takes_a_token_and_without_one_a_call_ends_with_what_failed(
    settings, simulator, operator
) -> None:
    operator.set_pool("first", {"retry_burst": 1.0, "retry_deposit": 0.0})
    simulator.change(rules=[{"fault": "status", "status": 500}])

    async def failing(llm: GatewayClient) -> None:
        for sent in (2, 3, 4):
            with pytest.raises(ProviderError, match="500"):
                await llm.chat(**HELLO, deadline=5.0)
            assert len(simulator.log) == sent

    run_audited(settings, simulator, failing)


def test_nothing_is_sent_before_the_gate_opens(settings, simulator) -> None:
    simulator.change(reject={"pattern": "every", "n": 9, "retry_after": 1.5})

    async def later(llm: GatewayClient, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await llm.chat(**HELLO, lane="batch")

    async def gated(llm: GatewayClient) -> None:
        await asyncio.gather(*(later(llm, 0.03 * number) for number in range(25)))

    run_audited(settings, simulator, gated)
    shut = [e.at + (e.ended or 0) for e in simulator.log if e.status == 429]
    assert shut
    # What was sent before the rejection was heard of may take a while to arrive.
    early = [e for e in simulator.log for began in shut if began + 1.0 < e.at < began + 1.5]
    assert early == []


def test_a_call_that_waits_too_long_for_a_slot_sent_nothing(settings, simulator, operator) -> None:
    operator.set_pool("first", {"max_window": 1, "headroom": 0, "batch_minimum": 0})
    simulator.change(first_token={"seconds": 1.0})

    async def waits(llm: GatewayClient) -> None:
        first = asyncio.create_task(llm.chat(**HELLO))
        await arrived(simulator)
        with pytest.raises(DeadlineExceeded, match="while it waited"):
            await llm.chat(**HELLO, deadline=0.2)
        await first

    run_audited(settings, simulator, waits)
    assert len(simulator.log) == 1


def test_a_closed_client_and_a_store_that_is_not_there(settings, simulator, tmp_path: Path) -> None:
    llm = GatewayClient(settings, simulator.catalogue)
    with pytest.raises(ClientClosed):
        asyncio.run(llm.chat(**HELLO))
    nowhere = settings.model_copy(update={"url": "postgresql+psycopg://nobody@127.0.0.1:1/none"})
    with pytest.raises(StoreUnavailable, match="nothing is sent"):
        asyncio.run(GatewayClient(nowhere, simulator.catalogue).open())
    assert simulator.log == []


# -- other processes, other threads


@both_stores
def test_a_killed_process_frees_its_slots_within_two_seconds(settings, simulator, operator) -> None:
    operator.set_pool("first", {"max_window": 1, "headroom": 0, "batch_minimum": 0})
    with caller(settings.store, simulator.url, "silence", 60.0) as holder:
        while not simulator.log:
            time.sleep(0.02)

        async def waits(llm: GatewayClient) -> float:
            asked = asyncio.create_task(llm.chat(**HELLO))
            await waiting(operator)
            assert not asked.done()
            holder.send_signal(signal.SIGKILL)
            began = time.monotonic()
            await asked
            return time.monotonic() - began

        assert run(settings, simulator.catalogue, waits) < 2.0
    states = sorted(row.state for row in rows_at(settings.store, schema.attempt))
    assert states == ["settled", "unknown"]


@both_stores
def test_a_slot_that_another_process_frees_wakes_us(settings, simulator, operator, monkeypatch) -> None:
    """Nobody looks by himself: only the wake can tell."""
    for name in ("POLL_SECONDS", "LIVENESS_SECONDS"):
        monkeypatch.setattr(ledger, name, 600.0)
    operator.set_pool("first", {"max_window": 1, "headroom": 0, "batch_minimum": 0})
    simulator.change(first_token={"seconds": 1.0})

    async def two() -> None:
        async with (
            GatewayClient(settings, simulator.catalogue) as one,
            GatewayClient(settings, simulator.catalogue) as other,
        ):
            first = asyncio.create_task(one.chat(**HELLO))
            await arrived(simulator)
            second = asyncio.create_task(other.chat(**HELLO, deadline=20.0))
            await waiting(operator)
            await asyncio.gather(first, second)

    asyncio.run(two())
    assert len(simulator.log) == 2


@both_stores
def test_synchronous_code_threads_and_streams(settings, simulator) -> None:
    with SyncGatewayClient(settings, simulator.catalogue) as llm:
        assert llm.chat(**HELLO).text
        assert "".join(event.text for event in llm.stream(**HELLO))
        with pytest.raises(UnknownTenant):
            llm.chat(**{**HELLO, "tenant": ""})
    with pytest.raises(ClientClosed):
        llm.chat(**HELLO)


def _in_child(llm: SyncGatewayClient, answers: Any) -> None:
    answers.put(llm.chat(**HELLO).text)
    llm.close()


@both_stores
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_opens_a_client_of_its_own_and_leaves_its_parents_alone(settings, simulator) -> None:
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    with SyncGatewayClient(settings, simulator.catalogue) as llm:
        mine = llm.chat(**HELLO).text
        child = context.Process(target=_in_child, args=(llm, answers))
        child.start()
        assert answers.get(timeout=30) == mine
        child.join(30)
        assert child.exitcode == 0
        time.sleep(1.2)  # the child's peers look for the dead every half second
        assert llm.chat(**HELLO).text == mine
        pids = {row.pid for row in rows_at(settings.store, schema.worker)}
        assert pids == {os.getpid()}
