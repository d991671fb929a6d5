"""A home that is put back to what it was before each kill, and everything in it that must come out the same."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

import pipelines.ingestion.build as building
from registry import deletions, generations, publication, tenants
from registry.database import Registry
from registry.schema import Alert, BuildProgress, Change, Head, Source, Tenant, TenantCommit
from registry.settings import Settings
from retrieval.index.edge.layout import Layout
from retrieval.index.store import GenerationRef
from tests.acceptance.crash import slotted_source
from tests.support.fake_encoder import FakeEncoder
from tests.support.world import START, SetClock, World

BATCH = 8
NOW = START + timedelta(hours=1)
LATER = START + timedelta(hours=2)


class CountedEncoder:
    """An encoder whose texts are written to a journal before their vectors exist."""

    def __init__(self, encoder: Any, journal: Path) -> None:
        self._journaled = FakeEncoder(journal=journal)
        self.model = encoder.model

    def encode(self, texts: list[str]) -> Any:
        return self._journaled.encode(texts)


_worlds: dict[Path, World] = {}


@contextmanager
def opened(home: Path, now: Any = NOW, **settings: Any) -> Iterator[World]:
    """The world of a home in this process, which is a child: it stays open until the process ends.

    Texts embedded for a build, and only those, go to a journal.
    """
    world = _worlds.get(home)
    if world is None:
        slotted_source.install()
        world = _worlds[home] = World(home, clock=SetClock(now), embedding_batch=BATCH, **settings)
    world.clock.now = now
    with world.registry.read() as session:
        names = dict(session.execute(select(Tenant.name, Tenant.id).where(Tenant.status != "erased")).all())
    world.tenant = names.get("acme", "")
    embed = building.embed_missing

    def counted(registry: Any, fence: Any, model: str, parsed: Any, encoder: Any, *more: Any) -> Any:
        journal = home / "embedded"
        return embed(registry, fence, model, parsed, lambda: CountedEncoder(encoder(), journal), *more)

    building.embed_missing = counted  # type: ignore[assignment]
    try:
        yield world
    finally:
        building.embed_missing = embed


def migrated(home: Path, registry_url: str = "") -> None:
    """An empty registry."""
    registry = Registry(Settings(home=home, registry_url=registry_url).registry)
    home.mkdir(parents=True, exist_ok=True)
    registry.migrate()
    registry.close()


@dataclass(frozen=True)
class Kept:
    """A home, and a copy of one of its states to go back to. Its path stays: rows name it."""

    home: Path
    before: Path

    def keep(self) -> None:
        _copy(self.home, self.before)

    def put_back(self) -> None:
        clear(self.home)
        _copy(self.before, self.home)


def clear(home: Path) -> None:
    """Remove a home and whatever lies beside it under a dotted name."""
    for path in [home, *home.parent.glob(f".{home.name}.*")]:
        if path.exists():
            shutil.rmtree(path)


def _copy(origin: Path, target: Path) -> None:
    # Times are kept, and holes: a shard of one megabyte has an apparent size of a hundred.
    subprocess.run(["cp", "-a", "--sparse=always", origin, target], check=True)


def state(world: World) -> dict[str, Any]:
    """What two homes have in common that came to the same end. Numbers of generations are not in it."""
    with world.registry.read() as session:
        live = generations.live(session, world.tenant)
        tenant = session.get_one(Tenant, world.tenant)
        documents = generations.documents(session, world.tenant, live.number) if live else []
        return {
            "digest": live.digest if live else None,
            "points": points(world),
            "documents": {(d.key, d.state, d.chunks) for d in documents},
            "held": tenant.held_at is not None,
            "hidden": sorted(_hidden(session, world.tenant, live)),
            "changes": sorted(map(tuple, session.execute(_CHANGES).all())),
            "commits": sorted(map(tuple, session.execute(_COMMITS).all())),
            "heads": sorted(map(tuple, session.execute(_HEADS).all())),
            "positions": sorted(map(tuple, session.execute(_POSITIONS).all())),
            "waiting deletions": len(deletions.held(session, world.tenant)),
            "moves": Counter(move.kind for move in publication.moves(session, world.tenant)),
            "alerts": Counter(session.scalars(select(Alert.kind))),
            "under way": sorted(session.scalars(select(BuildProgress.run))),
        }


_CHANGES = select(Change.scope, Change.seq, Change.key, Change.op, Change.moved, Change.fingerprint)
_COMMITS = select(TenantCommit.scope, TenantCommit.seq, TenantCommit.position, TenantCommit.hold)
_HEADS = select(Head.scope, Head.key, Head.seq, Head.fingerprint)
_POSITIONS = select(Source.name, Source.epoch, Source.last_seq, Source.position)


def _hidden(session: Any, tenant_id: str, live: Any) -> set[Any]:
    from registry import changelog

    if live is None:
        return set()
    pins = generations.pins(session, tenant_id, live.number)
    found = changelog.hidden_documents(session, tenant_id, {s: pin.seq for s, pin in pins.items()})
    return {(document.source_id, document.key) for document in found}


def points(world: World) -> dict[str, str]:
    """Chunk id to a digest of payload, vector and weights, read from the live index itself."""
    live = world.live()
    if live is None:
        return {}
    with world.store.open(GenerationRef(live.tenant_id, live.number)) as reader:
        return {
            p.chunk_id: hashlib.sha256(
                repr(sorted(p.payload.items())).encode()
                + p.vector.tobytes()
                + p.weights.indices.tobytes()
                + p.weights.values.tobytes()
            ).hexdigest()
            for p in reader.points()
        }


def untidy(world: World) -> list[str]:
    """What lies in the index that nothing serves and nothing may judge again."""
    with world.registry.read() as session:
        known = {
            tenant: generations.of_tenant(session, tenant)
            for tenant in [t.id for t in tenants.present(session)]
        }
    found = [path.name for path in _folders(world.settings.index) if path.name not in known]
    for tenant, all_of in known.items():
        newest = {g.number for g in all_of[:1] if g.status == "rejected"}
        served = {g.number for g in all_of if g.status in generations.SERVABLE} | newest
        layout = Layout(world.settings.index)
        found += [str(path) for path in layout.leftovers(tenant)]
        found += [f"{tenant}/{number}" for number in set(layout.numbers(tenant)) ^ served]
    return found


def _folders(parent: Path) -> list[Path]:
    return list(parent.iterdir()) if parent.is_dir() else []


def embedded(home: Path) -> Counter[str]:
    """How often each text was embedded for a build, by its hash."""
    journal = home / "embedded"
    return Counter(journal.read_text().split()) if journal.exists() else Counter()
