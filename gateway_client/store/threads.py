"""The threads that talk to the store, so that the event loop never waits for a lock or a disk."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from enum import IntEnum
from typing import Any, TypeVar

from gateway_client.errors import ClientClosed

T = TypeVar("T")


class Priority(IntEnum):
    """What goes first. A settlement frees a slot: it never queues behind a crowd of admissions."""

    SETTLE = 0
    LOOK = 1
    INTERACTIVE = 2
    BATCH = 3


class StoreThreads:
    """A few daemon threads and one queue by priority. What was submitted runs even if nobody waits for it."""

    def __init__(self, count: int) -> None:
        self._jobs: list[tuple[int, int, Callable[[], Any], Future[Any]]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._running = 0
        self._threads = [
            threading.Thread(target=self._serve, name=f"gateway-store-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, priority: Priority, work: Callable[[], T]) -> Future[T]:
        """Run `work` in a thread. A future that is cancelled before it began never runs. Raises ClientClosed."""
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise ClientClosed("the gateway client is closed: open another")
            heapq.heappush(self._jobs, (int(priority), next(self._numbers), work, future))
            self._changed.notify()
        return future

    def _serve(self) -> None:
        while True:
            with self._changed:
                while not self._jobs and not self._closed:
                    self._changed.wait()
                if not self._jobs:
                    return
                _, _, work, future = heapq.heappop(self._jobs)
                self._running += 1
            if future.set_running_or_notify_cancel():
                _run(work, future)
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def finish(self, seconds: float) -> None:
        """Wait until everything that was submitted has run, for so long at most."""
        with self._changed:
            self._changed.wait_for(lambda: not self._jobs and not self._running, seconds)

    def close(self, seconds: float) -> bool:
        """Take nothing more, finish what was submitted, then end; False where that takes longer."""
        until = time.monotonic() + seconds
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)


def _run(work: Callable[[], Any], future: Future[Any]) -> None:
    try:
        found = work()
    except BaseException as error:  # handed to whoever waits
        future.set_exception(error)
    else:
        future.set_result(found)
