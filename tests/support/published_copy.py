"""The world `published`, built once a session and copied: for tests that want it often."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from registry.schema import Source
from tests.support import scripted_source
from tests.support.world import TOPICS, SetClock, World, migrated_home, text_about

__all__ = ["migrated_home", "published", "published_home"]


@pytest.fixture(scope="session")
def published_home(
    migrated_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str, SetClock]:
    """A home with d0…d9 live as generation 1 and a canary for each; its tenant and its time."""
    home = tmp_path_factory.mktemp("published") / "home"
    shutil.copytree(migrated_home, home)
    world = World(home)
    world.add_tenant()
    world.add_source()
    world.commit({f"d{n}": text_about(topic) for n, topic in enumerate(TOPICS[:10])})
    world.ask_about({f"what does the {topic} file say": [f"d{n}"] for n, topic in enumerate(TOPICS[:10])})
    assert world.run().status == "published"
    world.close()
    scripted_source.uninstall()
    return home, world.tenant, world.clock


@pytest.fixture
def published(published_home: tuple[Path, str, SetClock], tmp_path: Path) -> Iterator[World]:
    """Ten documents d0…d9, a topic each, published as generation 1, with a canary for each."""
    template, tenant, clock = published_home
    home = tmp_path / "home"
    shutil.copytree(template, home)
    world = World(home, clock=SetClock(clock.now))
    world.tenant = tenant
    with world.registry.write() as session:
        session.execute(update(Source).values(uri=str(home / "docs.script")))
    world.runs = 1
    yield world
    world.close()
    scripted_source.uninstall()
