"""Worlds that read real sources: a home of their own, and what is in their index, read from the index."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.ingestion.outcome import Outcome
from pipelines.sources.kinds import prepare_source, settled_options
from registry import sources
from registry.database import Registry
from registry.settings import Settings
from retrieval.index.store import GenerationRef
from tests.support import scripted_source
from tests.support.world import World

CONSISTENCY = {
    "git": "transactional", "postgres": "transactional", "sqlite": "read-transaction", "folder": "observed",
}  # fmt: skip


@contextmanager
def opened_world(home: Path, **parts: Any) -> Iterator[World]:
    """A new home with an empty registry."""
    registry = Registry(Settings(home=home).registry)
    home.mkdir(parents=True, exist_ok=True)
    registry.migrate()
    registry.close()
    others_open = scripted_source.KIND in scripted_source.KINDS
    world = World(home, **parts)
    try:
        yield world
    finally:
        world.close()
        if not others_open:
            scripted_source.uninstall()


def add_source(
    world: World, kind: str, uri: str | Path, *, name: str = "docs", tenant: str | None = "", **options: str
) -> int:
    """What `source add` does, for a kind that is no test's own; gives its id. Quiescence is 0 unless given."""
    given = settled_options(kind, name, {"quiescence": "0", **options})
    if kind in ("sqlite", "postgres"):  # given something to capture from; others may be empty still
        prepare_source(kind, str(uri), given, world.clock, world.home / "mirrors")
    with world.registry.write() as session:
        return sources.add(
            session, name=name, tenant_id=world.tenant if tenant == "" else tenant, kind=kind, uri=str(uri),
            owner="o@example.org", options=given, consistency=CONSISTENCY[kind], now=world.clock(),
        ).id  # fmt: skip


def published(world: World, tenant: str = "") -> Outcome:
    """A run that reads every source and ends with a publication."""
    captured = world.ingestion.capture(tenant or world.tenant)
    assert [one.error for one in captured if one.error] == []
    outcome = world.run(tenant)
    faults = [f"{check.name}: {check.summary}" for check in outcome.checks if check.holds_back]
    assert outcome.status == "published", (outcome.status, outcome.reason, faults)
    return outcome


def content_digest(world: World, where: Callable[[str], bool] = lambda document: True) -> str:
    """Of every point of the live index whose document is wanted: payload, vector, weights.

    The position is left out: it names the commit that brought a version, which a later first read cannot know.
    """
    live = world.live()
    assert live is not None
    digest = hashlib.sha256()
    with world.store.open(GenerationRef(live.tenant_id, live.number)) as reader:
        for point in reader.points():
            if where(point.payload["document"]):
                payload = {name: value for name, value in point.payload.items() if name != "position"}
                digest.update(f"{point.chunk_id} {json.dumps(payload, sort_keys=True)}".encode())
                digest.update(point.vector.tobytes())
                digest.update(point.weights.indices.tobytes() + point.weights.values.tobytes())
    return digest.hexdigest()
