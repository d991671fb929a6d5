"""Supervision of tiny children: restarts with growing pauses, and nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from cli import supervisor as supervision
from cli.supervisor import Child, ChildSpec, Supervisor, how_it_ended

FOREVER = "import signal; signal.pause()"
DEAF = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
)
# A child of its own that must go with it.
PARENT = (
    "import signal, subprocess, sys;"
    "c = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()']);"
    "print(c.pid, flush=True); signal.pause()"
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """Supervises children whose clock the test turns."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock, self.told = folder, Clock(), list[str]()
        self.stop = threading.Event()
        self.supervisor = Supervisor([], self.told.append, self.stop, grace=10.0, clock=self.clock)

    def start(self, *programs: str) -> list[Child]:
        self.supervisor.specs = [
            ChildSpec(
                f"child-{n}", [sys.executable, "-c", program], dict(os.environ), self.folder / f"{n}.log"
            )
            for n, program in enumerate(programs)
        ]
        self.supervisor.start()
        return self.supervisor.children

    def says(self, number: int = 0) -> str:
        log = self.folder / f"{number}.log"
        eventually(lambda: log.read_text().endswith("\n"))
        return log.read_text().strip()


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.supervisor.grace = 0.0
    made.supervisor.end()


def test_a_child_that_dies_is_started_again_after_its_pause(bench: Bench) -> None:
    (child,) = bench.start(FOREVER)
    first = child.process
    first.kill()
    first.wait()
    bench.supervisor.look()
    assert bench.told == [f"child-0 was ended by SIGKILL; again in 0.5 s (log: {bench.folder / '0.log'})"]
    bench.clock.now = 0.49
    bench.supervisor.look()
    assert child.process is first
    bench.clock.now = 0.5
    bench.supervisor.look()
    assert child.process.pid != first.pid
    assert child.process.poll() is None
    assert child.restarts == 1


def test_pauses_double_up_to_half_a_minute_and_begin_anew_once_it_was_well(bench: Bench) -> None:
    (child,) = bench.start("raise SystemExit(3)")
    pauses = []
    for _ in range(9):
        child.process.wait()
        bench.supervisor.look()
        assert child.restart_at is not None
        pauses.append(child.restart_at - bench.clock.now)
        bench.clock.now = child.restart_at
        bench.supervisor.look()
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert all("ended with status 3" in line for line in bench.told)
    child.process.wait()
    bench.clock.now += supervision.WELL_AFTER
    bench.supervisor.look()
    assert child.restart_at == bench.clock.now + 0.5


def test_a_child_that_is_well_is_left_alone(bench: Bench) -> None:
    children = bench.start(FOREVER, FOREVER)
    pids = [child.process.pid for child in children]
    for _ in range(3):
        bench.supervisor.look()
    assert [child.process.pid for child in children] == pids
    assert bench.told == []


def test_the_end_takes_every_child_and_its_children_along(bench: Bench) -> None:
    children = bench.start(PARENT, FOREVER)
    grandchild = int(bench.says(0))
    bench.supervisor.end()
    assert [child.process.returncode for child in children] == [-signal.SIGTERM] * 2
    eventually(lambda: is_gone(grandchild))


def test_who_does_not_listen_is_killed_after_the_grace(bench: Bench) -> None:
    (child,) = bench.start(DEAF)
    assert bench.says() == "deaf"
    bench.supervisor.grace = 0.0
    bench.supervisor.end()
    assert child.process.returncode == -signal.SIGKILL


def test_what_a_dead_child_left_running_goes_before_it_is_started_again(bench: Bench) -> None:
    (child,) = bench.start(PARENT)
    grandchild = int(bench.says())
    child.process.kill()
    child.process.wait()
    bench.supervisor.look()
    eventually(lambda: is_gone(grandchild))


def test_watching_ends_when_it_is_told_to(bench: Bench) -> None:
    (child,) = bench.start(FOREVER)
    bench.stop.set()
    bench.supervisor.watch()
    assert child.process.returncode == -signal.SIGTERM


def test_where_one_cannot_be_started_none_is_left(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    spawn = supervision.spawn

    def spawned(spec: ChildSpec) -> subprocess.Popen[bytes]:
        if started:
            raise FileNotFoundError(spec.command[0])
        started.append(spawn(spec))
        return started[0]

    monkeypatch.setattr(supervision, "spawn", spawned)
    with pytest.raises(FileNotFoundError):
        bench.start(FOREVER, FOREVER)
    assert started[0].returncode == -signal.SIGTERM


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    program = f"""
import os, sys, threading
from pathlib import Path
from cli.supervisor import ChildSpec, Supervisor
log = Path({str(tmp_path)!r}) / "log"
spec = ChildSpec("child", [sys.executable, "-c", {FOREVER!r}], dict(os.environ), log)
supervisor = Supervisor([spec], print, threading.Event())
supervisor.start()
print(supervisor.children[0].process.pid, flush=True)
supervisor.watch()
"""
    root = str(Path(supervision.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert not is_gone(child)
        process.kill()
    eventually(lambda: is_gone(child))


def test_logs_are_appended_to(bench: Bench) -> None:
    (child,) = bench.start("print('said')")
    assert bench.says() == "said"
    child.process.wait()
    bench.supervisor.look()
    bench.clock.now = 1.0
    bench.supervisor.look()
    child.process.wait()
    assert (bench.folder / "0.log").read_text() == "said\nsaid\n"


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "ended with status 0"), (-15, "was ended by SIGTERM"), (-99, "was ended by signal 99")],
)
def test_endings_in_words(code: int, words: str) -> None:
    assert how_it_ended(code) == words
