"""Gates as one process knows them, and what it tells the others."""

from __future__ import annotations

import asyncio

import pytest

from gateway_client.gates import Gates, announced, announcement
from gateway_client.pools.gate import LONGEST


class Loop:
    """A loop of which only the clock is needed."""

    now = 100.0

    def time(self) -> float:
        return self.now


def gates() -> tuple[Gates, Loop]:
    loop = Loop()
    return Gates(loop), loop  # type: ignore[arg-type]


def test_a_gate_is_shut_until_the_latest_time_that_was_announced() -> None:
    found, loop = gates()
    assert found.shut_for("p") == 0.0
    assert found.shut("p", 2.0)
    assert not found.shut("p", 1.0)
    assert not found.shut("p", 2.0)
    loop.now += 0.5
    assert found.shut_for("p") == 1.5
    assert found.shut("p", 2.0)
    assert found.shut_for("other") == 0.0
    loop.now += 2.0
    assert found.shut_for("p") == 0.0


def test_a_gate_is_never_shut_for_longer_than_an_hour_nor_into_the_past() -> None:
    found, _ = gates()
    assert not found.shut("p", -5.0)
    found.shut("p", 1e9)
    assert found.shut_for("p") == LONGEST


def test_waiting_ends_when_a_gate_that_was_moved_meanwhile_opens() -> None:
    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        found = Gates(loop)
        assert await found.opened("p") < 0.01
        found.shut("p", 0.02)
        loop.call_later(0.01, found.shut, "p", 0.03)
        began = loop.time()
        return await found.opened("p"), loop.time() - began

    told, took = asyncio.run(main())
    assert took >= 0.04
    assert told == pytest.approx(took, abs=0.01)


def test_an_announcement_is_heard_by_all_but_the_one_who_made_it() -> None:
    told = announcement("w1", "openai: gpt 5\n", 1.25)
    assert announced(told, "w2") == ("openai: gpt 5\n", 1.25)
    assert announced(told, "w1") is None
    assert announced(announcement("w1", "p", 1e9), "w2") == ("p", LONGEST)


@pytest.mark.parametrize(
    "told", ["wake", "", "shut", "shut w1 soon p", "shut w1 1.5 p", "shut w1 -1.000 p", "x\udcff"]
)
def test_anything_else_is_no_announcement(told: str) -> None:
    assert announced(told, "w2") is None
