"""The API over a published world: ten documents, a topic each, a fake encoder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.api import Api, api_over
from tests.support.world import World, empty_world, migrated_home, published, world

__all__ = ["empty_world", "migrated_home", "published", "world"]


@pytest.fixture
def api(published: World) -> Iterator[Api]:
    with api_over(published) as opened:
        yield opened


@pytest.fixture
def empty_api(world: World) -> Iterator[Api]:
    """A tenant without any generation."""
    with api_over(world) as opened:
        yield opened
