"""Child processes that are light: forked from a server that has imported everything and started nothing.

A child may be killed or stopped at any instant. What it returns, or raises, comes back through a pipe.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.support.warm"])
SECONDS = 60.0


class ChildFailed(AssertionError):
    """What a child raised, with its traceback."""


class Child:
    """A process that calls `call(*arguments)` with some more environment. Ended when the test ends."""

    def __init__(self, call: Callable[..., Any], *arguments: Any, **environment: str) -> None:
        self._receiver, sender = CONTEXT.Pipe(duplex=False)
        given = (sender, environment, call.__module__, call.__qualname__, arguments)
        self.process = CONTEXT.Process(target=_run, args=given, daemon=True)
        with _importable():
            self.process.start()
        sender.close()
        self.pid: int = self.process.pid or 0

    def kill(self) -> None:
        """SIGKILL."""
        self.signal(signal.SIGKILL)

    def signal(self, number: int) -> None:
        if self.process.is_alive():
            os.kill(self.pid, number)

    def wait(self, seconds: float = SECONDS) -> int:
        """The exit status; -9 where it was killed."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.kill()
            raise ChildFailed(f"the child did not end within {seconds} s")
        return self.process.exitcode

    def until_stopped(self, seconds: float = SECONDS) -> bool:
        """Wait until it has stopped itself (True) or ended (False)."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if psutil.Process(self.pid).status() == psutil.STATUS_STOPPED:
                    return True
            except psutil.NoSuchProcess:
                return False
            if not self.process.is_alive():
                return False
            time.sleep(0.002)
        raise ChildFailed("the child neither stopped nor ended")

    def result(self, seconds: float = SECONDS) -> Any:
        """What the call returned. Raises ChildFailed with what it raised, or where it was killed."""
        if not self._receiver.poll(seconds):
            self.kill()
            raise ChildFailed(f"the child said nothing within {seconds} s")
        try:
            raised, value = self._receiver.recv()
        except EOFError:
            raise ChildFailed(f"the child ended without a word: status {self.wait()}") from None
        self.wait()
        if raised:
            raise ChildFailed(value)
        return value


def call(function: Callable[..., Any], *arguments: Any, **environment: str) -> Any:
    """Call a function in a child and give what it returned."""
    return Child(function, *arguments, **environment).result()


def _run(sender: Connection, environment: dict[str, str], module: str, name: str, arguments: Any) -> None:
    for variable in [v for v in os.environ if v.startswith("HOLDFAST_")]:
        del os.environ[variable]
    os.environ.update(environment)
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    try:
        sender.send((False, getattr(importlib.import_module(module), name)(*arguments)))
    except BaseException:
        sender.send((True, traceback.format_exc()))
        os._exit(1)
    finally:
        sender.close()


@contextmanager
def _importable() -> Iterator[None]:
    """The server starts with the first child, and must find the tests."""
    before = {name: os.environ.get(name) for name in ("PYTHONPATH", "OPENBLAS_NUM_THREADS")}
    os.environ.update(PYTHONPATH=str(ROOT), OPENBLAS_NUM_THREADS="1")
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
