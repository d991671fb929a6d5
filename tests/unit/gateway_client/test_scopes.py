"""Scopes and windows of budgets."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_client.errors import InvalidBudget
from gateway_client.scopes import DIMENSION_SETS, Span, check_value, parse_scope, resets, scopes_of, starts

CALL = {"tenant": "acme", "lane": "batch", "feature": "f", "model": "m", "pool": "p", "run": ""}


def test_a_call_falls_under_every_dimension_set_that_it_has() -> None:
    own = {scope for _, scope in scopes_of(CALL)}
    assert own == {"tenant=acme", "tenant=acme,lane=batch", "tenant=acme,feature=f", "model=m", "pool=p"}
    assert "tenant=acme,run=r" in {scope for _, scope in scopes_of({**CALL, "run": "r"})}
    assert ("tenant=*,lane=batch", "tenant=acme,lane=batch") in set(scopes_of(CALL))


def test_the_exact_scope_comes_before_the_one_for_each() -> None:
    assert [template for template, own in scopes_of(CALL) if own == "tenant=acme"] == [
        "tenant=acme",
        "tenant=*",
    ]


@pytest.mark.parametrize("names", DIMENSION_SETS)
def test_scopes_are_read_in_any_order(names: tuple[str, ...]) -> None:
    written = [f"{name}=x" for name in names]
    assert parse_scope(",".join(reversed(written))) == ",".join(written)


@given(st.text(max_size=20))
def test_no_value_can_pass_for_another_scope(value: str) -> None:
    try:
        check_value("tenant", value)
    except InvalidBudget:
        return
    assert not set(value) & set(",=|*% \n")


@given(st.floats(0, 4e9), st.sampled_from(list(Span)))
def test_a_window_holds_its_moment_and_ends_after_it(now: float, window: Span) -> None:
    end = resets(window, now)
    assert starts(window, now) <= now
    if end is not None:
        assert now < end
        assert starts(window, end) == end


def test_months_are_calendar_months_in_utc() -> None:
    now = datetime(2026, 12, 31, 23, 59, tzinfo=UTC).timestamp()
    assert starts(Span.MONTH, now) == datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    assert resets(Span.MONTH, now) == datetime(2027, 1, 1, tzinfo=UTC).timestamp()
    assert resets(Span.TOTAL, now) is None
