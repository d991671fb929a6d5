"""What went wrong before is named, and nothing that was said."""

from __future__ import annotations

import pytest

from gateway_client.errors import (
    BreakerOpen,
    BudgetExceeded,
    DeadlineExceeded,
    GatewayError,
    ProviderError,
    Refusal,
    Silent,
    StoreUnavailable,
    Truncated,
    UnusableOutcome,
    VersionMismatch,
)
from gateway_client.last_failure import LastFailure, name_last

SAID = "the provider's own words, with a secret in them"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ProviderError(SAID, kind="server_error", status=503), "server_error (503) of 'm'"),
        (Truncated(SAID, kind="reset"), "reset of 'm'"),
        (Silent(SAID), "Silent of 'm'"),
        (VersionMismatch(SAID), "VersionMismatch of 'm'"),
        (UnusableOutcome(SAID, outcome="length"), "length of 'm'"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize(
    "end",
    [DeadlineExceeded("too late"), BreakerOpen("it is open", Refusal("breaker", "m", wait=2.0))],
    ids=str,
)
def test_an_end_names_and_chains_the_last_failure(end: GatewayError, error: GatewayError, told: str) -> None:
    before = end.args
    name_last(end, LastFailure(error, "m"))
    message, end.args = str(end), before
    assert message == f"{end}; before that: {told}"
    assert end.__cause__ is error
    if isinstance(end, BreakerOpen):
        assert end.wait == 2.0


@pytest.mark.parametrize(
    "end",
    [ProviderError("no", kind="bad_request", status=400), StoreUnavailable("gone")],
    ids=lambda error: type(error).__name__,
)
def test_an_end_that_says_it_itself_is_left_alone(end: GatewayError) -> None:
    name_last(end, LastFailure(Silent(SAID), "m"))
    assert str(end) in ("no", "gone")
    assert end.__cause__ is None


def test_without_a_failure_there_is_nothing_to_name() -> None:
    end = BudgetExceeded("full", Refusal("budget", "tenant=acme"))
    name_last(end, None)
    assert str(end) == "full"
    late = DeadlineExceeded("late")
    name_last(late, LastFailure(late, "m"))
    assert str(late) == "late"
    assert late.__cause__ is None
