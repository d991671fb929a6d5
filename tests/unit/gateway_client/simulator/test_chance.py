"""Chance that comes out the same again."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_client.simulator.chance import draw, duration
from gateway_client.simulator.settings import Distribution


@given(st.integers(), st.lists(st.text()))
def test_a_draw_is_in_its_interval_and_the_same_again(seed: int, what: list[str]) -> None:
    assert 0 <= draw(seed, *what) < 1
    assert draw(seed, *what) == draw(seed, *what)


def durations(**fields: object) -> list[float]:
    return [duration(Distribution.model_validate(fields), 1, number) for number in range(2000)]


def test_distributions_have_the_middle_they_claim() -> None:
    assert set(durations(seconds=0.5)) == {0.5}
    uniform = durations(kind="uniform", seconds=1.0, spread=0.5)
    assert 0.5 <= min(uniform) < 0.52 < 1.48 < max(uniform) <= 1.5
    assert statistics.median(durations(kind="lognormal", seconds=2.0, spread=0.6)) == pytest.approx(
        2.0, rel=0.1
    )
    assert statistics.fmean(durations(kind="exponential", seconds=3.0)) == pytest.approx(3.0, rel=0.1)


def test_no_duration_is_negative_or_beyond_the_longest() -> None:
    for kind in ("uniform", "lognormal", "exponential"):
        found = durations(kind=kind, seconds=1.0, spread=2.0, longest=1.5)
        assert min(found) >= 0
        assert max(found) == 1.5
