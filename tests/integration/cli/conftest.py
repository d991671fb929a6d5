"""One home for the session: a tenant whose folder was ingested with the real model."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from registry.database import Registry
from registry.schema import Source
from tests.support.acme_home import CANARIES, DOCUMENTS, Home, write_canaries


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Not to be changed: see `changeable`."""
    root = tmp_path_factory.mktemp("holdfast")
    folder = root / "docs"
    folder.mkdir()
    for name, text in DOCUMENTS.items():
        (folder / name).write_text(text)
    home = Home(root / "home", folder, {})
    canaries = write_canaries(root / "canaries.jsonl", CANARIES)
    for arguments in (
        ["init"],
        ["tenant", "create", "acme", "--owner", "o@acme.example"],
        ["source", "add", "docs", "--tenant", "acme", "--kind", "folder", "--uri", str(folder)],
        ["canary", "import", str(canaries), "--tenant", "acme"],
    ):
        ended = home(*arguments, "--json")
        assert ended.status == 0, ended
        assert isinstance(ended.document, dict)
    ended = home("ingest", "--tenant", "acme", "--json")
    assert ended.status == 0, ended
    return replace(home, outcome=ended.document)


@pytest.fixture
def changeable(published: Home, tmp_path: Path) -> Home:
    """A copy whose source reads a folder of its own."""
    shutil.copytree(published.path, tmp_path / "home")
    shutil.copytree(published.folder, tmp_path / "docs")
    registry = Registry(f"sqlite:///{tmp_path / 'home' / 'registry.sqlite3'}")
    with registry.write() as session:
        session.execute(update(Source).values(uri=str(tmp_path / "docs")))
    registry.close()
    return Home(tmp_path / "home", tmp_path / "docs", published.outcome)
