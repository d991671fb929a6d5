"""Whom word of a grant wakes: nobody but who waits for that grant."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path
from typing import Any

import pytest

from gateway_client.errors import Refusal
from gateway_client.ledger.entries import Answer
from gateway_client.ledger.ledger import Ledger
from gateway_client.ledger.waiting import Wish
from gateway_client.store.sqlite import SqliteDatabase
from gateway_client.store.threads import Priority, StoreThreads


@pytest.mark.parametrize(
    ("told", "woken"),
    [
        (Answer(granted=True, sends=1), False),  # the grant whose sending was rejected
        (Answer(granted=True, sends=2), True),
        (Answer(sends=1), False),
        (Answer(refusal=Refusal("paused", "tenant=acme")), True),
    ],
)
def test_word_of_an_earlier_grant_wakes_nobody(tmp_path: Path, told: Answer, woken: bool) -> None:
    async def tell() -> bool:
        ledger = Ledger(SqliteDatabase(f"sqlite:///{tmp_path / 'g.sqlite3'}"))
        waiting = ledger._waiters.add(Wish("pool", "a", 1.0, 2))
        ledger._waiters.resolve({"a": told, "somebody else's": told})
        heard = waiting.done()
        await ledger.close()
        assert waiting.done(), "nobody waits for a ledger that is closed"
        return heard

    assert asyncio.run(tell()) is woken


def test_who_never_comes_to_wait_is_not_complained_of(tmp_path: Path) -> None:
    complaints: list[dict[str, Any]] = []

    async def tell() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
        ledger = Ledger(SqliteDatabase(f"sqlite:///{tmp_path / 'g.sqlite3'}"))
        ledger._waiters.add(Wish("pool", "a", 1.0, 2))
        await ledger.close()
        ledger._waiters.remove("a")
        gc.collect()

    asyncio.run(tell())
    assert complaints == []


def test_settlements_go_before_a_crowd_of_admissions() -> None:
    threads, done = StoreThreads(1), []
    hold = threading.Event()
    threads.submit(Priority.SETTLE, hold.wait)
    for number in range(3):
        threads.submit(Priority.BATCH, lambda n=number: done.append(f"batch {n}"))
    threads.submit(Priority.INTERACTIVE, lambda: done.append("interactive"))
    threads.submit(Priority.SETTLE, lambda: done.append("settle"))
    never = threads.submit(Priority.BATCH, lambda: done.append("never"))
    assert never.cancel()
    hold.set()
    assert threads.close(10.0)
    assert done == ["settle", "interactive", "batch 0", "batch 1", "batch 2"]
