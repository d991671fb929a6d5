"""The API over a published world: ten documents, a topic each, a fake encoder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.sources.kinds import KINDS
from pipelines.sources.options import OPTIONS
from tests.support import scripted_source
from tests.support.api import Api, api_over
from tests.support.world import TOPICS, World, empty_world, migrated_home, published, text_about, world

__all__ = ["empty_world", "migrated_home", "published", "world"]


@pytest.fixture
def api(published: World) -> Iterator[Api]:
    """The API of a world of the test's own."""
    with api_over(published) as opened:
        yield opened


@pytest.fixture
def empty_api(world: World) -> Iterator[Api]:
    """A tenant without any generation."""
    with api_over(world) as opened:
        yield opened


@pytest.fixture(scope="module")
def shared_api(migrated_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The API of one published world for all tests of a module that change nothing in it."""
    home = tmp_path_factory.mktemp("shared") / "home"
    shutil.copytree(migrated_home, home)
    opened = World(home)
    opened.add_tenant()
    opened.add_source()
    opened.commit({f"d{n}": text_about(topic) for n, topic in enumerate(TOPICS[:10])})
    assert opened.run().status == "published"
    with api_over(opened) as api:
        yield api
    opened.close()
    KINDS.pop(scripted_source.KIND, None)  # type: ignore[call-overload]
    OPTIONS.pop(scripted_source.KIND, None)  # type: ignore[call-overload]
