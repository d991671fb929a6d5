"""Chores that fail are tried again, told once, and keep no other from being done."""

from __future__ import annotations

import threading

import pytest

from retrieval.api.housekeeping import Housekeeping


def test_a_failing_chore_does_not_stop_the_others_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    broken, done = [True], []

    def fail() -> None:
        if broken[0]:
            raise OSError("the disk is gone")
        done.append("mended")

    keeping = Housekeeping((fail, lambda: done.append("other")))
    for _ in range(3):
        keeping.round()
    assert done == ["other"] * 3
    assert len(caplog.records) == 1
    broken[0] = False
    keeping.round()
    broken[0] = True
    keeping.round()
    assert done[3:] == ["mended", "other", "other"]
    assert len(caplog.records) == 2


def test_it_runs_until_it_is_ended() -> None:
    ran = threading.Event()
    keeping = Housekeeping((ran.set,), interval=0.001)
    keeping.begin()
    assert ran.wait(10)
    keeping.end()
    assert not keeping._thread.is_alive()


def test_ending_what_never_began_is_no_error() -> None:
    Housekeeping(()).end()
