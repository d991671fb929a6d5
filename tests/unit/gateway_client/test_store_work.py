"""Work on the store from asynchronous code: a cancellation is never lost, and the work is done all the same."""

from __future__ import annotations

import asyncio
import functools
import threading
from pathlib import Path

import pytest

from gateway_client.errors import ClientClosed, StoreUnavailable
from gateway_client.ledger import store_work
from gateway_client.ledger.store_work import StoreWork
from gateway_client.store.opening import open_database
from gateway_client.store.threads import Priority


@pytest.mark.parametrize("turns", range(8))
def test_a_cancellation_that_comes_together_with_the_result_is_obeyed(tmp_path: Path, turns: int) -> None:
    """Whichever of the few turns of the loop lies between the two."""

    async def scene() -> None:
        database = open_database(f"sqlite:///{tmp_path / 'gateway.sqlite3'}")
        work, done = StoreWork(database), threading.Event()
        asking = asyncio.create_task(work.ask(Priority.LOOK, done.wait))
        await asyncio.sleep(0)
        done.set()
        await work.finish()  # the answer is on its way to the loop
        for _ in range(turns):
            await asyncio.sleep(0)
        was_over = asking.done()
        asking.cancel()
        await asyncio.wait({asking})
        assert asking.cancelled() or was_over, f"told {turns} turns after the result, it went on"
        await work.close(lambda: None)
        database.close()

    asyncio.run(scene())


def test_a_store_that_does_not_answer_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_work, "STORE_SECONDS", 0.01)

    async def scene() -> None:
        database = open_database(f"sqlite:///{tmp_path / 'gateway.sqlite3'}")
        work, over = StoreWork(database), threading.Event()
        holders = [work.submit(Priority.LOOK, over.wait) for _ in range(database.threads)]
        with pytest.raises(StoreUnavailable, match="did not answer"):
            await work.ask(Priority.LOOK, lambda: None)
        over.set()
        await asyncio.gather(*map(work.result, holders))
        await work.close(lambda: None)
        database.close()

    asyncio.run(scene())


def test_the_last_work_is_the_last(tmp_path: Path) -> None:
    done: list[str] = []

    async def scene() -> None:
        database = open_database(f"sqlite:///{tmp_path / 'gateway.sqlite3'}")
        work = StoreWork(database)

        def last() -> None:
            with pytest.raises(ClientClosed):
                work.submit(Priority.SETTLE, lambda: done.append("too late"))
            done.append("last")

        for name in ("first", "second"):
            work.submit(Priority.BATCH, functools.partial(done.append, name))
        await work.close(last)
        database.close()

    asyncio.run(scene())
    assert done == ["first", "second", "last"]


def test_a_store_that_hangs_keeps_nobody_from_closing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last work is then left to whoever clears up after the dead."""
    monkeypatch.setattr(store_work, "STORE_SECONDS", 0.01)

    async def scene() -> None:
        database = open_database(f"sqlite:///{tmp_path / 'gateway.sqlite3'}")
        work, over, done = StoreWork(database), threading.Event(), list[str]()
        work.submit(Priority.LOOK, over.wait)
        await work.close(lambda: done.append("last"))
        over.set()
        assert done == []
        database.close()

    asyncio.run(scene())
