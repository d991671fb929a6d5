"""The fault matrix: every fault, streamed or not, with a fallback or without, judged from the simulator's log.

For each cell: how often which model was asked, who answered or what was raised, how long it took, and that the
ledger charged what the provider bills: exactly where the provider told its usage, at least as much where not.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from gateway_client.errors import (
    BreakerOpen,
    CallFailed,
    DeadlineExceeded,
    MalformedResponse,
    Misdirected,
    ProviderError,
    Rejected,
    Silent,
    Truncated,
    UnusableOutcome,
    VersionMismatch,
)
from gateway_client.operating import operator
from gateway_client.settings import GatewaySettings
from gateway_client.simulator.faults import Fault
from tests.support.datasets import FULL
from tests.support.fault_cells import DEADLINE, FIRST_TOKEN, Cell, Result, run_cells

BURST = 10
# Two cores that others use as well: how late an answer may be.
SLACK = 3.0


@dataclass(frozen=True)
class Kind:
    """What is expected of a fault. `errors` are those of a call that nobody saves, not streamed and streamed;
    `shows`: a stream shows some text before it strikes."""

    errors: tuple[type[CallFailed], type[CallFailed]]
    shows: bool = False

    def error(self, cell: Cell) -> type[CallFailed]:
        return self.errors[cell.way != "whole"]


def both(error: type[CallFailed], *, shows: bool = False) -> Kind:
    return Kind((error, error), shows)


# Worth another try, or another model.
TRANSIENT = {
    "silence; seconds=30": both(Silent),
    "slow_first_token; seconds=30": both(Silent),
    "stall; after=2; seconds=30": both(Silent, shows=True),
    "pings; after=0; seconds=30": both(Silent),
    "cut_stream; after=0": both(Truncated),
    "cut_stream; after=2": both(Truncated, shows=True),
    "reset": both(Truncated),
    "reset; after=2": both(Truncated, shows=True),
    "malformed; after=0": both(MalformedResponse),
    "malformed; after=2": both(MalformedResponse, shows=True),
    "no_end; after=0": Kind((MalformedResponse, Truncated)),
    "no_end; after=2": Kind((MalformedResponse, Truncated), shows=True),
    "error_in_stream; after=0": both(ProviderError),
    "error_in_stream; after=2": both(ProviderError, shows=True),
    "status; status=500": both(ProviderError),
    "status; status=502": both(ProviderError),
    "status; status=503": both(ProviderError),
    "status; status=504; billed=true": both(ProviderError),
    "overloaded": both(ProviderError),
    "html": both(MalformedResponse),
    "empty_body": both(MalformedResponse),
    "huge_body; megabytes=1": both(MalformedResponse, shows=True),
}
# Another model only, which is larger.
ELSEWHERE = {"context_overflow": both(ProviderError)}
# No try helps, and no other model may be asked.
FINAL = {
    "unauthorized": both(ProviderError),
    "forbidden": both(ProviderError),
    "not_found": both(ProviderError),
    "bad_request": both(ProviderError),
    "content_policy": both(ProviderError),
    "out_of_credit": both(ProviderError),
    "redirect": both(Misdirected),
    "wrong_model": both(VersionMismatch, shows=True),
    "no_model": both(VersionMismatch, shows=True),
    "length": both(UnusableOutcome, shows=True),
    "refusal": both(UnusableOutcome),
    "content_filter": both(UnusableOutcome),
}
# Worth telling the model, once.
TOLD = {
    "invalid_json": both(UnusableOutcome, shows=True),
    "fenced_json": both(UnusableOutcome, shows=True),
    "breaks_schema; how=enum": both(UnusableOutcome, shows=True),
    "breaks_schema; how=null": both(UnusableOutcome, shows=True),
    "breaks_schema; how=extra": both(UnusableOutcome, shows=True),
    "breaks_schema; how=missing": both(UnusableOutcome, shows=True),
    "breaks_schema; how=type": both(UnusableOutcome, shows=True),
    "empty_content": both(UnusableOutcome),
}
FINE = (
    "none",
    "slow_first_token; seconds=0.1",
    "stall; after=2; seconds=0.1",
    "pings; after=2; seconds=0.3",
    "no_usage",
    "absurd_usage",
)
# A stream's missing finish reason is a truncation; a whole answer's is an outcome.
UNFINISHED = "no_finish_reason"
REJECTED = "rate_limited; retry_after=0.05"
BAD = TRANSIENT | ELSEWHERE | FINAL | TOLD | {UNFINISHED: Kind((UnusableOutcome, Truncated), shows=True)}
FAULTS = (*BAD, *FINE, REJECTED)

CELLS = [
    Cell(fault, way, case, format_)
    for number, (fault, way, case) in enumerate(
        product(FAULTS, ("whole", "stream", "buffered"), ("fallback", "alone", "once"))
    )
    for format_ in (("openai", "anthropic") if FULL else (("openai", "anthropic")[number % 2],))
]
cells = pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("matrix") / "gateway.sqlite3"


@pytest.fixture(scope="module")
def results(store: Path) -> dict[Cell, Result]:
    return run_cells(CELLS, store)


def saved(cell: Cell) -> bool:
    """Whether the caller must get an answer in the end."""
    if cell.fault in FINE:
        return True
    if cell.fault == REJECTED:
        return cell.case == "once"
    if cell.fault in FINAL or (BAD[cell.fault].shows and cell.way == "stream"):
        return False
    if cell.fault == UNFINISHED and cell.way == "whole":
        return cell.case == "once"
    if cell.fault in TOLD:
        return cell.case == "once"
    return cell.case == "fallback" or (cell.case == "once" and cell.fault in TRANSIENT | {UNFINISHED: None})


def sends(cell: Cell) -> tuple[int, int, int]:
    """(fewest, most) requests to the first model, and how many to the fallback."""
    corrected = (cell.fault in TOLD or (cell.fault == UNFINISHED and cell.way == "whole")) and not (
        BAD[cell.fault].shows and cell.way == "stream"
    )
    if cell.fault in FINE:
        return 1, 1, 0
    if cell.fault == REJECTED:
        return (2, 2, 0) if cell.case == "once" else (2, 200, 0)
    if corrected:
        return 2, 2, 0
    if cell.fault in FINAL or (BAD[cell.fault].shows and cell.way == "stream"):
        return 1, 1, 0
    if cell.case == "fallback":
        return 1, 1, 1
    if cell.fault in ELSEWHERE:
        return 1, 1, 0
    return (2, 2, 0) if cell.case == "once" else (2, 1 + BURST, 0)


@cells
def test_who_answered_or_what_was_raised(results: dict[Cell, Result], cell: Cell) -> None:
    result = results[cell]
    if saved(cell):
        assert result.error is None, result.error
        assert result.completion is not None
        second = cell.case == "fallback" and sends(cell)[2]
        assert result.completion.model == (f"{cell.name}-second" if second else cell.name)
        assert result.completion.parsed["label"] == "good"
        return
    assert result.completion is None
    expected = DeadlineExceeded if cell.fault == REJECTED else BAD[cell.fault].error(cell)
    # Tries may go on until the time is up, or until the breaker has seen enough.
    tried_on = cell.fault in TRANSIENT and sends(cell)[1] > 1
    allowed = (expected, DeadlineExceeded, BreakerOpen) if tried_on else (expected,)
    assert isinstance(result.error, allowed), repr(result.error)
    if isinstance(result.error, (DeadlineExceeded, BreakerOpen)):
        # On a busy machine the last of many rejections may come too late to be seen.
        last = (Rejected, Silent) if cell.fault == REJECTED else expected
        assert isinstance(result.error.__cause__, last), "what went wrong before is chained, and named"
        assert f"of '{cell.name}'" in str(result.error)


@cells
def test_how_often_whom(results: dict[Cell, Result], cell: Cell) -> None:
    result = results[cell]
    fewest, most, second = sends(cell)
    assert fewest <= len(result.first) <= most, [entry.fault for entry in result.sent]
    late = cell.fault == REJECTED and cell.case == "fallback" and isinstance(result.error, DeadlineExceeded)
    assert second <= len(result.second) <= second + late, "whoever is silent at the end is not waited for"


@cells
def test_how_long_it_took(results: dict[Cell, Result], cell: Cell) -> None:
    result = results[cell]
    assert result.seconds < DEADLINE + SLACK
    quick = saved(cell) and not cell.fault.startswith(("silence", "slow", "stall", "pings"))
    if quick:
        assert result.seconds < FIRST_TOKEN + SLACK


@cells
def test_the_charge_is_the_bill_or_an_upper_bound_of_it(results: dict[Cell, Result], cell: Cell) -> None:
    result = results[cell]
    assert result.attempts
    for row in result.attempts:
        bill = result.bill(row["id"])
        match row["state"]:
            case "settled":
                assert row["cost_micro"] == bill
            case "unknown":
                assert row["cost_micro"] >= bill
                assert row["cost_micro"] == row["hold_micro"]
            case "released":
                assert bill == 0
                assert row["cost_micro"] == 0
            case other:
                pytest.fail(f"an attempt is still {other}")
    charged = {row["id"] for row in result.attempts}
    assert {entry.claimed_attempt for entry in result.sent if entry.micro_dollars} <= charged


@cells
def test_what_the_caller_saw_of_a_stream(results: dict[Cell, Result], cell: Cell) -> None:
    result = results[cell]
    if cell.way == "whole":
        assert result.seen == ""
    elif result.completion is not None:
        assert result.seen == result.completion.text
    elif cell.way == "buffered":
        assert result.seen == ""


def test_usage_that_was_not_told_is_charged_at_its_most(results: dict[Cell, Result]) -> None:
    for cell, result in results.items():
        states = [row["state"] for row in result.attempts]
        if cell.fault in ("no_usage", "absurd_usage"):
            assert states == (["unknown"] if cell.case != "once" else states)
        if cell.fault == "none":
            assert states == ["settled"]


def test_the_bill_makes_the_books_equal(results: dict[Cell, Result], store: Path) -> None:
    """Last, because it corrects what the tests above look at."""
    sent = [entry for result in results.values() for entry in result.sent]
    bill = [json.dumps(entry.bill_line()) for entry in sent if entry.micro_dollars]
    with operator(GatewaySettings(url=f"sqlite:///{store}")) as books:
        done = books.reconcile(bill, time.time() + 1)
        again = books.reconcile(bill, time.time() + 1)
    assert done.corrected > 0
    for found in (done, again):
        assert (found.difference, found.differing, found.unmatched) == (0, [], [])
    assert again.corrected == 0
    assert again.charged == sum(entry.micro_dollars for entry in sent)


def test_every_fault_of_the_simulator_is_in_the_matrix() -> None:
    # These two need a request of another kind; the integration tests have them.
    assert {fault.value for fault in Fault} - {fault.split(";")[0] for fault in FAULTS} == {
        "bad_tool_call",
        "ignores_max_tokens",
    }
