"""Dagster's databases are made once, by one process alone."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from pathlib import Path

import dagster
import pytest

from cli.dagster_instance import make_dagster_storage
from cli.home import prepare_dagster_home
from registry.settings import Settings

MANY = 4


def test_many_that_begin_at_once_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))  # restored at the end: what is tested sets it
    prepare_dagster_home(Settings(home=tmp_path))
    together, inside, made = threading.Barrier(MANY), threading.Lock(), []

    def open_instance() -> nullcontext[None]:
        assert inside.acquire(blocking=False), "two at the same time"
        made.append(1)
        inside.release()
        return nullcontext()

    def begin() -> None:
        together.wait()
        make_dagster_storage(Settings(home=tmp_path))

    monkeypatch.setattr(dagster.DagsterInstance, "get", open_instance)
    threads = [threading.Thread(target=begin) for _ in range(MANY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    make_dagster_storage(Settings(home=tmp_path))
    assert made == [1]


def test_what_was_cut_off_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    opened: list[str] = []

    def open_instance() -> nullcontext[None]:
        opened.append("")
        if len(opened) == 1:
            raise KeyboardInterrupt
        return nullcontext()

    monkeypatch.setattr(dagster.DagsterInstance, "get", open_instance)
    with pytest.raises(KeyboardInterrupt):
        make_dagster_storage(Settings(home=tmp_path))
    make_dagster_storage(Settings(home=tmp_path))
    make_dagster_storage(Settings(home=tmp_path))
    assert len(opened) == 2
