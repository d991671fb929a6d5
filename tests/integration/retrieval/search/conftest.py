"""A published world, without the API."""

from __future__ import annotations

from tests.support.world import empty_world, migrated_home, published, world

__all__ = ["empty_world", "migrated_home", "published", "world"]
