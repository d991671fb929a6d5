"""When to try again: full jitter, and tokens that successes earn."""

from __future__ import annotations

import random
from itertools import repeat

from hypothesis import given
from hypothesis import strategies as st

from gateway_client.pools.retries import CEILING, FIRST, earn, jitter, spend


@given(st.integers(0, 10_000), st.integers(0, 2**32), st.floats(FIRST, 60.0))
def test_a_wait_is_within_its_ceiling_however_often_it_failed(
    failures: int, seed: int, ceiling: float
) -> None:
    wait = jitter(failures, random.Random(seed), ceiling)
    assert 0.0 <= wait <= min(ceiling, FIRST * 2.0 ** min(failures, 30))


def test_waits_are_spread_over_all_of_their_ceiling() -> None:
    draw = random.Random(7)
    waits = sorted(jitter(20, draw) for _ in range(2_000))
    assert waits[100] < CEILING * 0.1
    assert waits[-100] > CEILING * 0.9
    assert abs(sum(waits) / len(waits) - CEILING / 2) < CEILING * 0.05


@given(st.floats(0, 50), st.floats(0.01, 1), st.floats(1, 50))
def test_a_success_never_earns_beyond_the_burst(tokens: float, deposit: float, burst: float) -> None:
    assert earn(min(tokens, burst), deposit, burst) <= burst
    assert earn(0.0, deposit, burst) == min(deposit, burst)


@given(st.lists(st.booleans(), max_size=200), st.integers(1, 20))
def test_retries_are_the_burst_and_what_was_earned_at_most(successes: list[bool], burst: int) -> None:
    """Whatever comes in whatever order: no more retries than the burst and what successes paid for."""
    tokens, retried = float(burst), 0
    for success in successes:
        if success:
            tokens = earn(tokens, 0.6, burst)
        elif (left := spend(tokens)) is not None:
            tokens, retried = left, retried + 1
        assert tokens >= 0
    assert retried <= burst + 0.6 * sum(successes)


def test_an_outage_spends_the_burst_and_then_nothing() -> None:
    tokens, spent = 10.0, 0
    for _ in repeat(None, 100):
        left = spend(tokens)
        if left is not None:
            tokens, spent = left, spent + 1
    assert spent == 10
    assert spend(tokens) is None
