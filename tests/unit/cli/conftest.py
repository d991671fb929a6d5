"""A home with a current registry, and the command over it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.settings import settings
from tests.support.command_line import HereCommand


@pytest.fixture
def holdfast(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, _sqlite_template: Path
) -> Iterator[HereCommand]:
    home = tmp_path / "home"
    home.mkdir()
    shutil.copyfile(_sqlite_template, home / "registry.sqlite3")
    yield HereCommand(monkeypatch, home)
    settings.cache_clear()


@pytest.fixture
def acme(holdfast: HereCommand) -> HereCommand:
    """The same, with a tenant `acme` that has an owner."""
    assert holdfast("tenant", "create", "acme", "--owner", "owner@acme.example").status == 0
    return holdfast
