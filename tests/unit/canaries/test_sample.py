"""The day's sample: drawn by the date, the same for whoever draws it."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from canaries.daily import sample
from registry.canaries import Question, canary_id

DAYS = st.dates(date(2020, 1, 1), date(2035, 1, 1))


def questions(count: int) -> list[Question]:
    return [Question(canary_id(f"query {n}"), f"query {n}", ("a.md",)) for n in range(count)]


@given(st.integers(0, 60), st.integers(1, 30), DAYS, st.randoms())
def test_a_sample_is_of_the_set_and_does_not_know_its_order(
    count: int, size: int, day: date, random: st.DataObject
) -> None:
    asked = questions(count)
    drawn = sample(asked, size, day)
    assert len(drawn) == len(set(drawn)) == min(count, size)
    assert set(drawn) <= set(asked)
    random.shuffle(asked)  # type: ignore[attr-defined]
    assert set(sample(asked, size, day)) == set(drawn)


def test_a_rerun_asks_the_same_and_another_day_asks_others() -> None:
    asked = questions(60)
    first = date(2026, 3, 1)
    days = [first + timedelta(n) for n in range(30)]
    drawn = [tuple(sample(asked, 20, day)) for day in days]
    assert drawn == [tuple(sample(asked, 20, day)) for day in days]
    assert len({frozenset(d) for d in drawn}) == len(days), "two days asked the same questions"
    assert {q for d in drawn for q in d} == set(asked), "in a month some canary was never asked"


def test_a_small_set_is_asked_whole() -> None:
    assert sample(questions(20), 20, date(2026, 3, 1)) == questions(20)
