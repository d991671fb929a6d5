"""Where the trials live, and the PostgreSQL that some of them write to."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.logical_postgres import database, logical_server
from tests.support.world import migrated_home

__all__ = ["database", "logical_server", "migrated_home"]

IN_MEMORY = Path("/dev/shm")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """An empty folder, in memory where there is some: what a crash of the machine would do is no question here."""
    if not (IN_MEMORY.is_dir() and os.access(IN_MEMORY, os.W_OK)):
        yield tmp_path
        return
    made = Path(tempfile.mkdtemp(prefix="hf-trial-", dir=IN_MEMORY))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(autouse=True)
def _only_errors_are_logged() -> Iterator[None]:
    """Every refused publication is a warning, and trials provoke hundreds."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)
