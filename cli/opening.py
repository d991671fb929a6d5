"""Opening what commands work on: the settings, and a registry that is known to be current."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from registry.database import Registry
from registry.errors import SchemaOutdated
from registry.settings import Settings, settings

__all__ = ["mirrors", "opened_registry", "settings"]


@contextmanager
def opened_registry(found: Settings | None = None) -> Iterator[Registry]:
    """The registry. Raises SchemaOutdated where `holdfast init` has not been run."""
    found = found or settings()
    refuse_missing(found)
    registry = Registry(found.registry)
    try:
        registry.ensure_current()
        yield registry
    finally:
        registry.close()


def refuse_missing(found: Settings) -> None:
    """Only connecting would create an empty SQLite file, and a home folder wherever one happens to be."""
    if found.registry_url:
        return
    path = found.state / "registry.sqlite3"
    if not path.exists():
        raise SchemaOutdated(
            f"there is no registry in {found.state}: run `holdfast init` first, or set HOLDFAST_HOME"
        )


def mirrors(found: Settings) -> Path:
    """Where mirrors of remote repositories are kept."""
    return found.state / "mirrors"
