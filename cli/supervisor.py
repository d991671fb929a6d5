"""Keeps child processes running: starts them, restarts what dies, and takes them along when it ends.

Every child leads a process group of its own, so that Ctrl-C reaches the supervisor alone and a child's own
children end with it. On Linux a child gets SIGTERM when the supervisor dies by whatever means (prctl(2),
PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_PDEATHSIG = 1
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
# A child that ran this long is well: the next death starts again with a short pause.
WELL_AFTER = 30.0
POLL = 0.2

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """A process to keep running: its command line, its environment, the file that gets what it says."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path


@dataclass(slots=True)
class Child:
    """A supervised process. `restarts` counts all of them, `failures` those since it was last well."""

    spec: ChildSpec
    process: subprocess.Popen[bytes]
    started: float
    restarts: int = 0
    failures: int = 0
    restart_at: float | None = None


Tell = Callable[[str], None]


@dataclass(slots=True)
class Supervisor:
    """Supervises children until `stop` is set. `tell` is told of deaths; `clock` is monotonic seconds."""

    specs: Sequence[ChildSpec]
    tell: Tell
    stop: threading.Event
    grace: float = 10.0
    clock: Callable[[], float] = time.monotonic
    children: list[Child] = field(default_factory=list)

    def start(self) -> None:
        """Start every child. Where one cannot be started, none is left behind."""
        try:
            for spec in self.specs:
                self.children.append(Child(spec, spawn(spec), self.clock()))
        except BaseException:
            self.end()
            raise

    def watch(self) -> None:
        """Restart what dies, until `stop` is set; then end all children."""
        try:
            while not self.stop.wait(POLL):
                self.look()
        finally:
            self.end()

    def look(self) -> None:
        """One look at every child."""
        for child in self.children:
            if child.restart_at is not None:
                self._restart_when_due(child)
            elif child.process.poll() is not None:
                self._plan_restart(child)

    def _plan_restart(self, child: Child) -> None:
        now = self.clock()
        child.failures = 1 if now - child.started >= WELL_AFTER else child.failures + 1
        pause = min(FIRST_PAUSE * 2 ** min(child.failures - 1, 16), LONGEST_PAUSE)
        child.restart_at = now + pause
        # Whatever it left running would keep its port.
        _signal_group(child.process, signal.SIGKILL)
        ending = how_it_ended(child.process.returncode)
        self.tell(f"{child.spec.name} {ending}; again in {pause:g} s (log: {child.spec.log})")

    def _restart_when_due(self, child: Child) -> None:
        if child.restart_at is not None and self.clock() >= child.restart_at:
            child.process, child.started, child.restart_at = spawn(child.spec), self.clock(), None
            child.restarts += 1

    def end(self) -> None:
        """SIGTERM to every child, SIGKILL to what is left of their groups after the grace."""
        for child in self.children:
            if child.process.poll() is None:
                _signal_group(child.process, signal.SIGTERM)
        deadline = self.clock() + self.grace
        for child in self.children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(max(deadline - self.clock(), 0))
        for child in self.children:
            _signal_group(child.process, signal.SIGKILL)
            child.process.wait()


def spawn(spec: ChildSpec) -> subprocess.Popen[bytes]:
    """Start a child: its own process group, its log appended to, bound to this process's life."""
    spec.log.parent.mkdir(parents=True, exist_ok=True)
    parent = os.getpid()
    with spec.log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - no shell, and the command is ours
            list(spec.command),
            env=dict(spec.environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: _die_with(parent),  # noqa: PLW1509 - it only makes two system calls
        )


def _die_with(parent: int) -> None:
    if _libc is None:
        return
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    # The parent may have died between the fork and the call above.
    if os.getppid() != parent:
        os._exit(1)


def how_it_ended(returncode: int) -> str:
    """A return code in words."""
    if returncode >= 0:
        return f"ended with status {returncode}"
    try:
        return f"was ended by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was ended by signal {-returncode}"


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
