"""Window, gate, breaker, retry tokens and learned limits: pure, with time given."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_client.pools import breaker, gate, limits, retries, state, window
from gateway_client.pools.breaker import Breaker
from gateway_client.pools.declared import PoolConfig
from gateway_client.pools.gate import Gate
from gateway_client.pools.window import Window


def run_window(reject: float, start: float, seconds: float = 300.0) -> tuple[Window, float]:
    """A saturated pool of 40 slots whose provider rejects at random, and everything above; the share of it used."""
    draw, found, used, now = random.Random(3), Window(start), 0.0, 0.0
    while now < seconds:
        step = 1 / found.slots  # a latency of one second
        now += step
        used += min(found.slots, 40) * step
        beyond = found.slots > 40 and draw.random() < 1 - 40 / found.slots
        if beyond or draw.random() < reject:
            found = window.rejected(found, now)
        else:
            found = window.accepted(found, found.slots, 1000, 1.0)
    return found, used / now / 40


@pytest.mark.parametrize("reject", [0.0, 0.1, 1 / 3])
@pytest.mark.parametrize("start", [4.0, 40.0])
def test_random_rejections_do_not_collapse_the_window(reject: float, start: float) -> None:
    found, used = run_window(reject, start)
    assert found.slots > 25
    assert used > (0.95 if start == 40.0 else 0.85)


def test_the_window_is_cut_when_most_is_rejected_once_per_latency() -> None:
    found = Window(40.0, latency=1.0)
    for number in range(found.memory):
        found = window.rejected(found, 100 + number / 1000)
    assert found.size == 40.0 * window.CUT
    for number in range(found.memory):
        found = window.rejected(found, 100.5 + number / 1000)
    assert found.size == 40.0 * window.CUT, "within one latency once, whatever comes"
    assert window.rejected(found, 101.5).size == 40.0 * window.CUT * window.CUT


def test_the_window_grows_only_while_it_is_used_and_to_its_maximum() -> None:
    assert window.accepted(Window(10.0), 1, 64, 0.1).size == 10.0
    assert window.accepted(Window(10.0), 9, 64, 0.1).size == 10.1
    assert window.accepted(Window(64.0), 64, 64, 0.1).size == 64.0


@given(st.lists(st.booleans(), max_size=300))
def test_the_window_stays_between_one_and_its_maximum(outcomes: list[bool]) -> None:
    found, now = Window(8.0), 0.0
    for good in outcomes:
        now += 1.0
        found = window.accepted(found, found.slots, 16, 0.5) if good else window.rejected(found, now)
        assert 1 <= found.slots <= 16
        assert 0 <= found.acceptance <= 1


def test_the_gate_opens_when_it_was_told_to() -> None:
    shut = gate.shut(Gate(), 3.0, 1000.0)
    assert shut.shut_for(1000.0) == 3.0
    assert shut.shut_for(1002.999) > 0
    assert shut.shut_for(1003.0) == 0


def test_a_longer_gate_holds_against_a_shorter_one() -> None:
    assert gate.shut(gate.shut(Gate(), 5.0, 1000.0), 1.0, 1001.0).shut_for(1001.0) == 4.0


@given(st.floats(-1e6, 1e6))
def test_a_clock_that_jumps_never_shuts_it_for_longer_than_announced(jump: float) -> None:
    assert 0 <= gate.shut(Gate(), 3.0, 1e9).shut_for(1e9 + jump) <= 3.0


def test_a_breaker_opens_probes_once_and_closes() -> None:
    found = Breaker()
    for _ in range(breaker.ENOUGH):
        found = breaker.failed(found, "a", 100.0)
    assert found.state == "open"
    assert found.wait(100.0) == breaker.FIRST_OPEN
    assert found.wait(101.0) == 0
    probe = breaker.let_through(found, "probe", 101.0)
    assert probe.state == "half_open"
    assert probe.wait(101.0) == breaker.PROBE_LEASE, "one probe at a time"
    assert breaker.succeeded(probe) == Breaker()
    worse = breaker.failed(probe, "probe", 101.5)
    assert worse.wait(101.5) == 2 * breaker.FIRST_OPEN
    assert breaker.given_back(probe, "probe").wait(101.6) == 0


def test_a_lost_probe_is_replaced_after_its_lease_and_old_failures_do_not_count() -> None:
    found = Breaker(opened_at=100.0, open_for=1.0)
    assert breaker.failed(found, "a", 100.5) == found
    probe = breaker.let_through(found, "probe", 101.0)
    assert probe.wait(101.0 + breaker.PROBE_LEASE) == 0


def test_what_was_sent_before_it_opened_says_nothing_of_the_probe() -> None:
    probe = breaker.let_through(Breaker(opened_at=100.0, open_for=1.0), "probe", 101.0)
    assert breaker.given_back(probe, "older") == probe
    assert breaker.failed(probe, "older", 101.5) == probe
    replaced = breaker.let_through(probe, "another", 101.0 + breaker.PROBE_LEASE)
    assert breaker.failed(replaced, "probe", 140.0) == replaced


def test_a_few_failures_among_successes_leave_it_closed() -> None:
    found = Breaker()
    for number in range(200):
        found = breaker.failed(found, "a", 1.0) if number % 3 == 0 else breaker.succeeded(found)
        assert found.state == "closed"


@given(st.integers(1, 500), st.integers(0, 30))
def test_an_outage_costs_at_most_the_burst_in_retries(calls: int, burst: int) -> None:
    tokens, attempts = float(burst), 0
    for _ in range(calls):
        attempts += 1
        while (left := retries.spend(tokens)) is not None:
            tokens, attempts = left, attempts + 1
    assert attempts <= calls + burst


def test_successes_earn_retries_up_to_the_burst() -> None:
    tokens = 0.0
    for _ in range(100):
        tokens = retries.earn(tokens, 0.6, 10.0)
    assert tokens == 10.0


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_jitter_is_full_and_bounded(failures: int, seed: int) -> None:
    wait = retries.jitter(failures, random.Random(seed))
    assert 0 <= wait <= min(retries.CEILING, retries.FIRST * 2 ** min(failures, 30))


def test_learned_limits_make_calls_wait_until_their_reset() -> None:
    known = limits.learn({}, {"tokens": (1000, 100, 6.0)}, 50.0)
    small, large, huge = (limits.needs(size, 50) for size in (40, 60, 5000))
    assert limits.wait_for(known, small, 50.0) == 0
    assert limits.wait_for(known, large, 50.0) == 6.0
    assert limits.wait_for(known, large, 56.0) == 0
    assert limits.wait_for(known, huge, 50.0) == 0, "what never fits is the provider's to refuse"
    assert limits.wait_for(limits.take(known, small, 50.0), small, 50.0) == 6.0
    assert limits.take(known, small, 57.0) == {}


def test_a_pools_state_survives_the_store() -> None:
    found = state.fresh(PoolConfig(max_window=8, headroom=2))
    found = state.admitted(
        found, PoolConfig(), state.Granted("a", "batch", "p/m", 12.0, limits.needs(5, 5)), 10.0
    )
    found = state.answered(found, PoolConfig(), "p/m", 5, 0.25)
    found = state.rejected(found, "p/m", "a", 4.0, 10.0)
    for _ in range(9):
        found = state.failed(found, "p/m", "a", 10.0)
    assert state.loads(state.dumps(found)) == found
    assert found.shut_for(11.0) == 3.0
    assert found.breaker("p/m").state == "open"
    assert found.breaker("p/other") == Breaker()


def test_declared_limits_hold_for_each_minute_until_the_provider_tells_its_own() -> None:
    declared = PoolConfig(requests_per_minute=2)
    found, need = state.fresh(declared), limits.needs(5, 5)
    for _ in range(2):
        assert limits.wait_for(found.limits(declared, 610.0), need, 610.0) == 0
        found = state.admitted(found, declared, state.Granted("a", "batch", "p/m", 0.0, need), 610.0)
    assert limits.wait_for(found.limits(declared, 610.0), need, 610.0) == 50.0
    assert limits.wait_for(found.limits(declared, 660.0), need, 660.0) == 0
    told = limits.learn(found.learned, {"requests": (9, 7, 30.0)}, 611.0)
    assert limits.wait_for(told, need, 611.0) == 0
