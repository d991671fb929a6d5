"""A client that closes while callers wait: they are told so, nobody is cancelled who was not, and it does close."""

from __future__ import annotations

import asyncio
import fcntl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway_client.client import GatewayClient
from gateway_client.errors import ClientClosed, GatewayError
from tests.support.gateway_raw_calls import HELLO, Stalls, against
from tests.support.gateway_raw_server import Asked

DRAIN, SLACK = 0.2, 2.0
LONG = HELLO | {"deadline": 20.0}


class Silence:
    """A provider that never answers."""

    def __init__(self, *requests: int) -> None:
        self.arrived = asyncio.Event()
        self._awaited = requests[0] if requests else 1

    async def __call__(self, asked: Asked, _writer: asyncio.StreamWriter) -> None:
        if asked.number >= self._awaited:
            self.arrived.set()
        await asyncio.Event().wait()


async def told(work: Any) -> str:
    """What the caller is told, in a task that nobody cancels."""
    try:
        await work
    except GatewayError as error:
        return type(error).__name__
    except asyncio.CancelledError:
        task = asyncio.current_task()
        return f"cancelled, cancelling() = {task.cancelling() if task else '?'}"
    return "an answer"


async def timed_close(llm: GatewayClient) -> float:
    began = time.monotonic()
    with Stalls() as stalls:
        await llm.close()
    return time.monotonic() - began - stalls.seconds


async def streamed(llm: GatewayClient, **more: Any) -> str:
    return await (await llm.stream(**LONG | more)).text()


@pytest.mark.parametrize("way", ["chat", "chat_with_a_key", "stream", "embed"])
def test_a_caller_that_nobody_cancelled_is_told_that_it_closed(tmp_path: Path, way: str) -> None:
    silence = Silence()

    async def closing(llm: GatewayClient) -> tuple[str, float]:
        work: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
            "chat": lambda: llm.chat(**LONG),
            "chat_with_a_key": lambda: llm.chat(**LONG, idempotency_key="k"),
            "stream": lambda: streamed(llm),
            "embed": lambda: llm.embed(tenant="acme", model="e", texts=["a"], lane="batch"),
        }
        caller = asyncio.create_task(told(work[way]()))
        await silence.arrived.wait()
        seconds = await timed_close(llm)
        return await caller, seconds

    found = against(silence, tmp_path, closing, configured={"drain_seconds": DRAIN})
    said, seconds = found.got
    assert said == ClientClosed.__name__
    assert seconds <= DRAIN + SLACK
    found.check_charged_as_unknown()


def test_callers_in_the_queue_are_told_as_well(tmp_path: Path) -> None:
    """More of them than the pool's window."""
    silence = Silence(8)

    async def closing(llm: GatewayClient) -> list[str]:
        callers = [asyncio.create_task(told(llm.chat(**LONG))) for _ in range(12)]
        await silence.arrived.wait()
        await llm.close()
        return list(await asyncio.gather(*callers))

    found = against(silence, tmp_path, closing, configured={"drain_seconds": DRAIN})
    assert set(found.got) == {ClientClosed.__name__}
    assert len(found.asked) == 8


def test_a_caller_that_was_cancelled_stays_so(tmp_path: Path) -> None:
    silence = Silence()

    async def cancelling(llm: GatewayClient) -> Any:
        caller = asyncio.create_task(llm.chat(**LONG))
        await silence.arrived.wait()
        caller.cancel()
        await llm.close()
        return (await asyncio.gather(caller, return_exceptions=True))[0]

    found = against(silence, tmp_path, cancelling, configured={"drain_seconds": DRAIN})
    assert isinstance(found.got, asyncio.CancelledError)


@contextmanager
def busy(store: Path) -> Iterator[None]:
    """Other processes write to the store, too, nearly all of the time."""
    over = threading.Event()

    def writing() -> None:
        with store.with_name(store.name + ".lock").open("w") as lock:
            while not over.wait(0.005):
                fcntl.flock(lock, fcntl.LOCK_EX)
                over.wait(0.08)
                fcntl.flock(lock, fcntl.LOCK_UN)

    neighbour = threading.Thread(target=writing)
    neighbour.start()
    try:
        yield
    finally:
        over.set()
        neighbour.join()


def test_callers_that_ask_for_a_busy_key_do_not_keep_it_open(tmp_path: Path) -> None:
    silence = Silence()

    async def closing(llm: GatewayClient) -> tuple[float, list[str]]:
        asked = [LONG | {"idempotency_key": f"{number // 5}", "on_unknown": "buy"} for number in range(30)]
        callers = [asyncio.create_task(told(llm.chat(**one))) for one in asked]
        await silence.arrived.wait()
        with busy(tmp_path / "gateway.sqlite3"):
            await asyncio.sleep(1.0)  # a store that is behind with its work
            seconds = await timed_close(llm)
        return seconds, list(await asyncio.gather(*callers))

    found = against(silence, tmp_path, closing, configured={"drain_seconds": DRAIN})
    seconds, said = found.got
    assert seconds <= DRAIN + SLACK
    assert not [one for one in said if one.startswith("cancelled")]
