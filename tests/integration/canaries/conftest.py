"""A world to judge."""

from __future__ import annotations

from tests.support.published_copy import published, published_home
from tests.support.world import empty_world, migrated_home, world

__all__ = ["empty_world", "migrated_home", "published", "published_home", "world"]
