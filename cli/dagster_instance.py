"""Dagster's instance of a home. Importing this imports nothing; opening one imports Dagster, which takes a second."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cli.home import prepare_dagster_home
from registry.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterInstance

LOCK, MADE = "holdfast-lock", "holdfast-made"


@contextmanager
def opened_dagster(settings: Settings) -> Iterator[DagsterInstance]:
    """The instance, until the end of the block."""
    make_dagster_storage(settings)
    import dagster

    with dagster.DagsterInstance.get() as instance:
        yield instance


def make_dagster_storage(settings: Settings) -> None:
    """Have Dagster make its databases, by one process alone: two that make them at once leave them broken for good."""
    folder = prepare_dagster_home(settings)
    made = folder / MADE
    if made.exists():
        return
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if made.exists():
            return
        import dagster

        with dagster.DagsterInstance.get():
            made.touch()
