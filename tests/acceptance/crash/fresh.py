"""What a home serves, and what a build from nothing in a new home makes of the same pin: chunk by chunk the same.

The new home shares nothing with the first but what its sources say: they are read again, up to the pin.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from registry import deletions, generations, tenants
from registry.schema import Change, Generation, GenerationPin, Source, SourceCommit, TenantCommit
from retrieval.expected import version_of
from retrieval.index.store import GenerationRef
from tests.acceptance.crash import homes
from tests.acceptance.crash.homes import LATER, opened
from tests.support.children import call
from tests.support.fake_encoder import FakeEncoder
from tests.support.git_repository import QUIET
from tests.support.real_sources import add_source
from tests.support.scripted_source import Script
from tests.support.world import World

# Kinds whose history can be read again commit by commit. What is merely observed keeps only its newest state: a later
# first read cannot know which look of ours brought a version, so that the log says which position is right.
REPLAYED = ("scripted", "slotted", "git")


class Chunk(NamedTuple):
    """A point of an index. `position` is empty where a fresh read cannot know it."""

    document: str
    ordinal: int
    position: str
    text: str
    payload: str
    vector: str
    weights: str


@dataclass(frozen=True)
class PinnedSource:
    """A source at a pin. `history`: a digest of what was there up to it, where its position does not tell."""

    name: str
    kind: str
    uri: str
    options: tuple[tuple[str, str], ...]
    position: str
    history: str
    rejected: tuple[str, ...]


@dataclass(frozen=True)
class Pin:
    """All that decides what a generation says: the same pin, the same chunks."""

    tenant: str
    build: str
    sources: tuple[PinnedSource, ...]


@dataclass(frozen=True)
class Served:
    """One generation that can be asked."""

    pin: Pin
    number: int
    chunks: dict[str, Chunk] = field(repr=False)


class FreshBuilds:
    """Builds of pins, each in a home of its own, made once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[Pin, dict[str, Chunk]] = {}
        self.compared = 0

    @property
    def built(self) -> int:
        return len(self._known)

    def compare(self, home: Path, found: list[Served], model: str = "fake") -> None:
        """Every generation that is served is the fresh build of its pin."""
        for served in found:
            if served.pin not in self._known:
                twin = self._root / "fresh" / f"{len(self._known)}"
                self._known[served.pin] = call(build, home, twin, served.pin, model)
                shutil.rmtree(twin)
            wanted = self._known[served.pin]
            assert served.chunks.keys() == wanted.keys(), f"generation {served.number} of {served.pin}"
            for chunk_id, chunk in served.chunks.items():
                assert chunk == wanted[chunk_id], f"chunk {chunk_id} of generation {served.number}"
            self.compared += 1


def served(home: Path, **settings: Any) -> list[Served]:
    """What every tenant of a home can ask, its live generation first."""
    with opened(home, LATER, **settings) as world:
        with world.registry.read() as session:
            all_of = {
                tenant.name: generations.of_tenant(session, tenant.id, generations.SERVABLE)
                for tenant in tenants.present(session)
            }
        return [
            served_generation(world, home, name, generation)
            for name, found in all_of.items()
            for generation in found
        ]


def served_generation(world: World, home: Path, tenant: str, generation: Generation) -> Served:
    """A generation with its pin. Its documents stand at the positions that the change log gives them."""
    with world.registry.read() as session:
        pins = generations.pins(session, generation.tenant_id, generation.number)
        pin = Pin(
            tenant,
            json.dumps(generation.build, sort_keys=True),
            tuple(_pinned(session, home, pin) for _, pin in sorted(pins.items())),
        )
        logged = set(_logged(session, pins))
    ref = GenerationRef(generation.tenant_id, generation.number)
    with world.store.open(ref) as reader:
        for point in reader.points():
            said = point.payload
            assert (said["source"], said["document"], said["version"], said["position"]) in logged
    return Served(pin, generation.number, _chunks(world, ref, pin))


def _pinned(session: Session, home: Path, pin: GenerationPin) -> PinnedSource:
    source = session.get_one(Source, pin.source_id)
    # Of a folder's position only the second half tells what was there; the first counts looks.
    position = pin.position.partition("-")[2] if source.kind == "folder" else pin.position
    rejected = session.scalars(
        select(TenantCommit.position)
        .where(
            TenantCommit.source_id == source.id, TenantCommit.hold == "rejected", TenantCommit.seq <= pin.seq
        )
        .order_by(TenantCommit.seq)
    )
    return PinnedSource(
        source.name, source.kind, source.uri.replace(str(_owner(home)), ""), tuple(sorted(source.options.items())),
        position, _history(source, position), tuple(rejected),
    )  # fmt: skip


def _owner(home: Path) -> Path:
    """Where a home's sources lie: a restored one has none of its own."""
    return home.parent if home.name == "restored" else home


def _history(source: Source, position: str) -> str:
    if source.kind not in ("scripted", "slotted"):
        return ""
    lines = [line for line in Script(Path(source.uri)).commits() if line["position"] <= position]
    return hashlib.sha256(json.dumps(lines).encode()).hexdigest()


def _logged(session: Session, pins: dict[int, GenerationPin]) -> Iterator[tuple[str, str, str, str]]:
    for source_id, pin in pins.items():
        query = (
            select(Source.name, Change.key, Change.fingerprint, SourceCommit.position)
            .join(Source, Source.id == Change.source_id)
            .join(
                SourceCommit,
                (SourceCommit.source_id == Change.source_id) & (SourceCommit.seq == Change.seq),
            )
            .where(Change.source_id == source_id, Change.seq <= pin.seq, Change.op == "upsert")
        )
        for name, key, fingerprint, position in session.execute(query):
            yield name, key, version_of(fingerprint), position


def _chunks(world: World, ref: GenerationRef, pin: Pin) -> dict[str, Chunk]:
    replayed = {source.name for source in pin.sources if source.kind in REPLAYED}
    found = {}
    with world.store.open(ref) as reader:
        for point in reader.points():
            payload = dict(point.payload)
            position = payload.pop("position") * (payload["source"] in replayed)
            weights = point.weights.indices.tobytes() + point.weights.values.tobytes()
            found[point.chunk_id] = Chunk(
                payload["document"],
                payload["ordinal"],
                position,
                payload.pop("text"),
                json.dumps(payload, sort_keys=True),
                hashlib.sha256(point.vector.tobytes()).hexdigest(),
                hashlib.sha256(weights).hexdigest(),
            )
    return found


# The new home.


def build(home: Path, twin: Path, pin: Pin, model: str = "fake") -> dict[str, Chunk]:
    """A build from nothing of a pin, in the new home `twin`, of the sources that lie in `home`."""
    homes.migrated(twin)
    with opened(twin, LATER, encoder=FakeEncoder(model)) as world:
        world.add_tenant(pin.tenant)
        for source in pin.sources:
            for position, reach in _read_again(world, _owner(home), source):
                _follow(world, reach, refused=position in source.rejected)
        outcome = world.ingestion.build(world.tenant, "fresh", anew=any(s.rejected for s in pin.sources))
        assert outcome.status == "published", outcome
        with world.registry.read() as session:
            generation = generations.get(session, world.tenant, outcome.generation or 0)
        found = served_generation(world, twin, pin.tenant, generation)
        reached = [(s.name, s.position) for s in found.pin.sources]
        assert reached == [(s.name, s.position) for s in pin.sources], "the source is no longer at that pin"
        assert found.pin.build == pin.build
        return found.chunks


def _follow(world: World, reach: Callable[[], object], *, refused: bool) -> None:
    """Let a source reach its next position and capture it; what it deletes may be refused, as it was before."""
    if refused:  # only what is live can be held back
        assert world.run().status == "published"
    reach()
    assert [(one.error, bool(one.held)) for one in world.capture()] == [("", refused)]
    if refused:
        with world.registry.write() as session:
            deletions.decide(session, world.tenant, "rejected", "me", LATER)


Step = tuple[str, Callable[[], object]]


def _read_again(world: World, home: Path, source: PinnedSource) -> Iterator[Step]:
    """Add a source to a new home, then give the positions up to the pin, each with what makes it reach it."""
    origin, options = Path(f"{home}{source.uri}"), dict(source.options)
    if source.kind in ("scripted", "slotted"):
        options.pop("slot", None)
        return _script(world.add_source(source.name, **options), origin, source.position)
    where = Path(f"{world.home}{source.uri}")
    if source.kind == "folder":  # its documents are named by where it is, and it is only read
        where = origin
    else:
        where.parent.mkdir(parents=True)
        subprocess.run(["cp", "-a", origin, where], check=True)
    add_source(world, source.kind, where, name=source.name, **options)
    if source.kind == "git":
        return _line(_repository(origin), where, source.position)
    return iter([(source.position, lambda: None)])


def _script(script: Script, origin: Path, until: str) -> Iterator[Step]:
    for line in origin.read_text(encoding="utf-8").splitlines(keepends=True):
        position = json.loads(line)["position"]
        if position <= until:
            yield position, partial(_append, script.path, line)


def _append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(line)


def _repository(place: Path) -> Path:
    """The repository that a bundle was made of lies beside it."""
    return place.with_suffix(".git") if place.suffix == ".bundle" else place


def _line(repository: Path, where: Path, until: str) -> Iterator[Step]:
    beside = _repository(where)
    if beside != where:
        subprocess.run(["cp", "-a", repository, beside], check=True)
    for commit in _git(repository, "rev-list", "--first-parent", "--reverse", until).split():
        yield commit, partial(_move, beside, where, commit)


def _move(repository: Path, where: Path, commit: str) -> None:
    _git(repository, "update-ref", "refs/heads/main", commit)
    if repository != where:
        _git(repository, "bundle", "create", "--quiet", str(where), "main")


def _git(repository: Path, *arguments: str) -> str:
    command = ["git", f"--git-dir={repository}", *arguments]
    return subprocess.run(command, capture_output=True, check=True, text=True, env=QUIET).stdout
