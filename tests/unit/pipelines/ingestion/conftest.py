"""A world to ingest into, and one over each database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import scripted_source
from tests.support.published_copy import published, published_home
from tests.support.world import TOPICS, World, empty_world, migrated_home, text_about, world

__all__ = ["empty_world", "migrated_home", "published", "published_home", "world"]


@pytest.fixture
def either(registry_url: str, tmp_path: Path) -> Iterator[World]:
    """Three documents, live as generation 1: once on SQLite, once on PostgreSQL."""
    home = tmp_path / "either"
    home.mkdir()
    opened = World(home, registry_url=registry_url)
    opened.add_tenant()
    opened.add_source()
    opened.set_contract(mass_deletion_share=1.0)
    opened.commit({f"d{n}": text_about(TOPICS[n]) for n in range(3)})
    opened.ask_about({f"what does the {TOPICS[n]} file say": [f"d{n}"] for n in range(3)})
    assert opened.run().status == "published"
    yield opened
    opened.close()
    scripted_source.uninstall()
