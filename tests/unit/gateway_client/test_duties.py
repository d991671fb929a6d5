"""What a worker does again and again: it goes on after what failed, and ends when it is told to."""

from __future__ import annotations

import asyncio
import logging

import pytest

from gateway_client.errors import StoreUnavailable
from gateway_client.ledger.duties import Duties


def done(failure: Exception | None, times: int = 3) -> int:
    """How often a duty was done that fails every time but the last."""
    count = 0

    async def scene() -> None:
        duties, enough = Duties(), asyncio.Event()

        async def work() -> None:
            nonlocal count
            count += 1
            if count == times:
                enough.set()
            elif failure is not None:
                raise failure

        duties.every(0.001, work)
        await asyncio.wait_for(enough.wait(), 30)
        await duties.end()
        seen = count
        await asyncio.sleep(0.005)
        assert count == seen, "it went on after its end"

    asyncio.run(scene())
    return count


def test_a_duty_is_done_again() -> None:
    assert done(None) >= 3


def test_a_store_that_is_away_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    assert done(StoreUnavailable("away")) >= 3
    assert not caplog.records


def test_what_was_not_foreseen_is_told_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert done(OSError("no such folder")) >= 3
    assert {(record.levelno, record.exc_info is not None) for record in caplog.records} == {
        (logging.ERROR, True)
    }


def test_its_end_waits_for_what_is_being_done() -> None:
    """A step that is cut off has been cut off before the end is over."""
    steps: list[str] = []

    async def scene() -> None:
        duties, begun = Duties(), asyncio.Event()

        async def work() -> None:
            begun.set()
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0)
                steps.append("cut off")

        duties.once(work())
        await begun.wait()
        await duties.end()
        steps.append("ended")

    asyncio.run(scene())
    assert steps == ["cut off", "ended"]
