"""Whether the process that holds a lease is known to be dead."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import psutil

from registry.leases import Holder


def test_this_process_lives() -> None:
    assert not Holder.current("me").is_dead()


def test_a_process_of_another_host_is_never_known_to_be_dead() -> None:
    assert not replace(Holder.current("me"), host="another.host", pid=2**22 + 1).is_dead()


def test_a_reused_process_id_is_another_process() -> None:
    mine = Holder.current("me")
    assert replace(mine, started=mine.started - 60).is_dead()


def test_a_process_that_ended_is_dead_reaped_or_not() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started = psutil.Process(process.pid).create_time()
        holder = replace(Holder.current("it"), pid=process.pid, started=started)
        assert not holder.is_dead()
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert holder.is_dead()
    assert holder.is_dead()


def test_encoding_comes_back() -> None:
    holder = Holder.current('a "run", of ours')
    assert Holder.decode(holder.encode()) == holder
