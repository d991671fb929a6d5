"""What is killed: each scenario prepares a home, does one thing in it, and does it again after the kill."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import inspect, select, text

import cli.erasure
import cli.home
import retrieval.encoder.identity
from canaries.daily import ask_today
from cli.main import main
from pipelines.alerts.delivery import deliver_all
from pipelines.backup.contents import read_contents, verify
from pipelines.backup.restoring import restore
from pipelines.backup.taking import take_backup
from pipelines.ingestion.rebuild import rebuild
from pipelines.sources.kinds import open_source
from registry import builds, generations, sources
from registry.database import Registry
from registry.schema import ReplicationSlot, Source, Tenant
from registry.settings import Settings, settings
from retrieval.index.store import GenerationRef
from tests.acceptance.crash import homes, recording, slotted_source
from tests.acceptance.crash.fresh import Served, served
from tests.acceptance.crash.homes import LATER, NOW, opened
from tests.support.fake_encoder import fake_identity
from tests.support.git_repository import GitRepository
from tests.support.real_sources import add_source
from tests.support.world import MAX_BYTES, TOPICS, World, text_about

Act = Callable[[Path], Any]


@dataclass(frozen=True)
class Scenario:
    """prepare: the home before; act: what is killed; converge: what comes after it (the same, unless given);
    outcome: what must be the same as if nothing had been killed; check: what must hold besides.
    """

    name: str
    prepare: Act
    act: Act
    converge: Act | None = None
    outcome: Act | None = None
    check: Act | None = None
    builds: bool = False

    def after(self, home: Path) -> Any:
        """Converge, look for faults, and give the outcome."""
        (self.converge or self.act)(home)
        if self.check is not None:
            self.check(home)
        return (self.outcome or ending)(home)


UPON: dict[str, str] = {}


def upon(base: Act) -> Callable[[Act], Act]:
    """A preparation that goes on from another one, which is prepared once."""

    def remember(prepare: Act) -> Act:
        UPON[prepare.__name__] = base.__name__
        return prepare

    return remember


# Preparations whose source goes on to another state, after which the one that was built can no longer be read.
OBSERVED = ("folder_read", "sqlite_read")


def ending(home: Path) -> Any:
    """The state of the home, which must be tidy."""
    with opened(home, LATER) as world:
        found = homes.state(world)
        assert homes.untidy(world) == []
        return found


@dataclass(frozen=True)
class Ended:
    """What a scenario came to, how often each text was embedded, and every generation that is served."""

    outcome: Any
    embedded: dict[str, int]
    served: list[Served]


@dataclass(frozen=True)
class Undisturbed:
    """What a scenario passes (how often), and how it ends."""

    passed: dict[str, int]
    ended: Ended


def kill_at(scenario: str, home: Path) -> None:
    """What a child does that is killed at HOLDFAST_CRASH_AT. It must not come to its end."""
    SCENARIOS[scenario].act(home)


def passed_and_after(scenario: str, home: Path) -> Undisturbed:
    """The act that nothing disturbs, and what comes after it."""
    found = recording.record()
    SCENARIOS[scenario].act(home)
    passed = dict(found)
    return Undisturbed(passed, after(scenario, home))


def after(scenario: str, home: Path) -> Ended:
    """How it ends after converging. A restored home serves what it was made of, and is one more to look at."""
    outcome, embedded = SCENARIOS[scenario].after(home), dict(homes.embedded(home))
    places = [place for place in (home, home / "restored") if (place / "registry.sqlite3").exists()]
    return Ended(outcome, embedded, [one for place in places for one in served(place)])


# Ingestion.


def questions(count: int = 10) -> dict[str, list[str]]:
    return {f"what does the {topic} file say": [f"d{n}"] for n, topic in enumerate(TOPICS[:count])}


def begun(home: Path) -> None:
    """A tenant, a source, ten documents, a canary for each. Nothing captured yet."""
    homes.migrated(home)
    with opened(home) as world:
        world.add_tenant()
        world.add_source()
        commit(world, 1, {f"d{n}": text_about(topic) for n, topic in enumerate(TOPICS[:10])})
        world.ask_about(questions())


def commit(world: World, minute: int, upserts: Any = None, deletes: Any = (), unreadable: Any = None) -> None:
    world.clock.now = homes.START.replace(minute=minute)
    world.script().append(world.clock(), upserts, deletes, unreadable)
    world.clock.now = NOW


def run(home: Path) -> None:
    with opened(home) as world:
        world.run()


def run_to_the_end(home: Path) -> None:
    """The next run, and one more, which finds nothing to do but to tidy up."""
    with opened(home, LATER) as world:
        first = world.run()
        assert first.status in ("published", "unchanged"), (first.status, first.reason, first.checks)
        second = world.run()
        assert second.status == "unchanged", (second.status, second.reason)


@upon(begun)
def published(home: Path) -> None:
    run(home)


@upon(published)
def cut_off(home: Path) -> None:
    """A run was killed while it built what is not wanted any more: how far it was is still noted."""
    with opened(home) as world, world.registry.write() as session:
        builds.begin(session, world.tenant, "cut-off", "update", "", NOW)


@upon(published)
def letter_retried(home: Path) -> None:
    """A document could not be parsed; a person wants it tried again, and it still cannot."""
    with opened(home) as world:
        commit(world, 2, {"d10": "too large, whatever it says " * (MAX_BYTES // 20)})
        assert world.run().status == "published"
    assert command(home, "deadletter", "retry", "--tenant", "acme", "--by", "me") == 0


def run_slowly(home: Path) -> None:
    """Each look at the clock is a second later, so that a build notes how far it is."""
    with opened(home) as world:
        clock = world.clock
        tick = type(clock).__call__

        def later(self: Any) -> Any:
            self.advance(1)
            return tick(self)

        type(clock).__call__ = later  # type: ignore[method-assign]
        try:
            world.run()
        finally:
            type(clock).__call__ = tick  # type: ignore[method-assign]


@upon(published)
def changed(home: Path) -> None:
    """Generation 1 is live; three edits, an addition and a deletion wait."""
    with opened(home) as world:
        edits = {f"d{n}": text_about(TOPICS[n], version=2) for n in range(3)}
        commit(world, 2, edits | {"d10": text_about(TOPICS[10])}, ["d9"])


@upon(changed)
def retaining_one(home: Path) -> None:
    """Two generations, one retained: the next publication retires one."""
    with opened(home) as world:
        world.set_contract(retained_generations=1)
        assert world.run().status == "published"
        commit(world, 3, {"d0": text_about(TOPICS[0], version=3)})


@upon(changed)
def asked_in_vain(home: Path) -> None:
    """As `changed`, but a canary asks for documents that were never there."""
    with opened(home) as world:
        lost = {f"lost thing {n}": [f"never-{n}"] for n in range(4)}
        world.ask_about(questions() | lost)


def rejected_then_mended(home: Path) -> None:
    """The next run is refused too; then the canaries are mended, and it is judged again."""
    with opened(home, LATER) as world:
        assert world.run().status == "rejected"
        live = world.live()
        assert live is not None
        assert live.number == 1
        world.ask_about(questions())
    run_to_the_end(home)


@upon(asked_in_vain)
def rejected(home: Path) -> None:
    """A candidate was refused; its canaries are mended since."""
    with opened(home) as world:
        assert world.run().status == "rejected"
        world.ask_about(questions())


# Capture from real sources.


def folder(home: Path) -> Path:
    return home / "sources" / "folder"


def folder_read(home: Path) -> None:
    place = folder(home)
    place.mkdir(parents=True)
    write_pages(place, range(8))
    homes.migrated(home)
    with opened(home) as world:
        world.add_tenant()
        add_source(world, "folder", place)
    run_real(home)


@upon(folder_read)
def reading_folder(home: Path) -> None:
    place = folder(home)
    write_pages(place, range(3), version=2)
    (place / "d7.md").unlink()
    write_pages(place, range(8, 10))


def reading_git(home: Path) -> None:
    (home / "sources").mkdir(parents=True)
    repository = GitRepository(home / "sources" / "git")
    first = repository.commit(tree(range(8)))
    homes.migrated(home)
    with opened(home) as world:
        world.add_tenant()
        add_source(world, "git", repository.path)
    run_real(home)
    second = repository.commit(tree(range(7), {0}), (first,))
    repository.commit(tree([*range(7), 8], {0, 1}), (second,))


def mirrored(home: Path) -> None:
    """A repository that is read through a mirror, twice: from a bundle, as from a remote URL."""
    repository = GitRepository(handbook(home, ".git"))
    first = repository.commit(tree(range(8)))
    repository.git("bundle", "create", "--quiet", str(handbook(home)), "main")
    homes.migrated(home)
    with opened(home) as world:
        world.add_tenant()
        add_source(world, "git", handbook(home))
    run_real(home)
    second = repository.commit(tree(range(7), {0}), (first,))
    repository.commit(tree([*range(7), 8], {0, 1}), (second,))
    repository.git("bundle", "create", "--quiet", str(handbook(home)), "main")


def handbook(home: Path, suffix: str = ".bundle") -> Path:
    place = home / "sources" / f"handbook{suffix}"
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


@upon(mirrored)
def stale_mirror(home: Path) -> None:
    """A git was killed in the mirror: its locks and half a pack lie there. A read failed as well, by mistake."""
    copy = mirror(home, str(handbook(home)))
    for name in ("refs/heads/main.lock", "packed-refs.lock", "objects/pack/tmp_pack_1", "holdfast-suspect"):
        (copy / name).touch()


@upon(mirrored)
def damaged_mirror(home: Path) -> None:
    """What is new was fetched already, and then damaged: no fetch has a reason to look at it, only whoever reads it."""
    place = handbook(home)
    open_source("git", str(place), {}, lambda: NOW, home / "mirrors").probe()
    for pack in (mirror(home, str(place)) / "objects" / "pack").glob("*.pack"):
        content = pack.read_bytes()
        pack.chmod(0o644)
        kept = len(content) // 2  # the commits come first
        pack.write_bytes(content[:kept] + bytes(len(content) - kept - 20) + content[-20:])


def look_and_run(home: Path) -> None:
    """The first look may find that the mirror cannot be read; the second one is made on another."""
    with opened(home) as world:
        world.capture()
        world.run()


def look_and_run_to_the_end(home: Path) -> None:
    with opened(home, LATER) as world:
        world.capture()
    run_to_the_end(home)


def tree(numbers: Any, edited: Any = ()) -> dict[bytes, Any]:
    return {f"d{n}.md".encode(): page(n, 2 if n in edited else 1).encode() for n in numbers}


def wiki_of(home: Path) -> Path:
    return home / "sources" / "wiki.sqlite3"


def write_wiki(home: Path) -> None:
    place = wiki_of(home)
    place.parent.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(place)) as wiki, wiki:
        wiki.execute("CREATE TABLE pages (id TEXT PRIMARY KEY, body TEXT)")
        wiki.executemany("INSERT INTO pages VALUES (?, ?)", [(f"d{n}", page(n)) for n in range(8)])


def sqlite_read(home: Path) -> None:
    write_wiki(home)
    homes.migrated(home)
    with opened(home) as world:
        world.add_tenant()
        add_source(world, "sqlite", wiki_of(home), table="pages", key="id", body="body")
    run_real(home)


@upon(sqlite_read)
def reading_sqlite(home: Path) -> None:
    with contextlib.closing(sqlite3.connect(wiki_of(home))) as wiki:
        with wiki:
            wiki.execute("UPDATE pages SET body = ? WHERE id = 'd0'", (page(0, 2),))
            wiki.execute("DELETE FROM pages WHERE id = 'd7'")
        with wiki:
            wiki.execute("INSERT INTO pages VALUES ('d8', ?)", (page(8),))


def page(number: int, version: int = 1) -> str:
    return f"# {TOPICS[number]}\n\n{text_about(TOPICS[number], version=version)}\n"


def write_pages(place: Path, numbers: Any, version: int = 1) -> None:
    for number in numbers:
        (place / f"d{number}.md").write_text(page(number, version), encoding="utf-8")


def run_real(home: Path) -> None:
    with opened(home) as world:
        captured = world.capture()
        assert not [one.error for one in captured if one.error], captured
        world.run()


def texts_of_source(home: Path) -> Any:
    """What the index says, by document: what the source says decides whether that is right."""
    with opened(home, LATER) as world:
        assert homes.untidy(world) == []
        texts = {key.removesuffix(".md"): " ".join(found) for key, found in world.texts().items()}
        right = {f"d{n}": page(n, 2 if "edition 2" in texts.get(f"d{n}", "") else 1) for n in range(10)}
        for key, found in texts.items():
            assert found.split()[-5:] == right[key].split()[-5:]
        assert "d7" not in texts
        assert "edition 2" in texts["d0"]
        known = homes.state(world)
        # When a folder was looked at, and so what its commits are called, is another time after a kill.
        for name in ("digest", "points", "commits", "positions"):
            known.pop(name)
        return known | {"texts": texts}


def slotted(home: Path) -> None:
    """As `changed`, from a source with a replication slot."""
    homes.migrated(home)
    with opened(home) as world:
        world.add_tenant()
        script = world.script()
        with world.registry.write() as session:
            sources.add(
                session, name="docs", tenant_id=world.tenant, kind=slotted_source.KIND, uri=str(script.path),
                owner="o@example.org", options={"quiescence": "0", "slot": "slot"}, consistency="transactional",
                now=NOW,
            )  # fmt: skip
        commit(world, 1, {f"d{n}": text_about(topic) for n, topic in enumerate(TOPICS[:10])})
    run_real(home)
    with opened(home) as world:
        commit(world, 2, {"d0": text_about(TOPICS[0], version=2)}, ["d9"])
        commit(world, 3, {"d1": text_about(TOPICS[1], version=2)})


@upon(slotted)
def drifted(home: Path) -> None:
    (home / "docs.drift").touch()


@upon(slotted)
def slot_dropped(home: Path) -> None:
    (home / "docs.dropped").touch()


def remove_source(home: Path) -> None:
    slotted_source.install()
    assert command(home, "source", "remove", "docs", "--tenant", "acme") == 0


def source_removed(home: Path) -> Any:
    """Its slot is gone from its server, and nothing of it is found any more."""
    assert (home / "docs.dropped").exists()
    with opened(home, LATER) as world:
        assert world.found(f"what does the {TOPICS[3]} file say") == []
        with world.registry.read() as session:
            assert sources.present(session) == []
        return homes.state(world)


def wiki_written(home: Path) -> None:
    homes.migrated(home)
    with opened(home) as world:
        world.add_tenant()
    write_wiki(home)


def add_wiki(home: Path) -> int:
    options = ("table=pages", "key=id", "body=body", "quiescence=0")
    given = [word for option in options for word in ("--option", option)]
    uri = str(wiki_of(home))
    return command(
        home, "source", "add", "docs", "--tenant", "acme", "--kind", "sqlite", "--uri", uri, *given
    )


def add_wiki_and_run(home: Path) -> None:
    """Added again; where it was added already, that is said."""
    assert add_wiki(home) in (0, 2)
    run_to_the_end(home)


def mended_and_run_to_the_end(home: Path) -> None:
    (home / "docs.drift").unlink()
    run_to_the_end(home)


def with_slot(home: Path) -> Any:
    """The end, with what is known of the slot and of the source's last look."""
    found = ending(home)
    with opened(home, LATER) as world, world.registry.read() as session:
        known = session.execute(
            select(ReplicationSlot.name, ReplicationSlot.retained_bytes, ReplicationSlot.oldest)
        )
        looked = session.execute(select(Source.error, Source.failing_since))
        return found | {"slot": sorted(map(tuple, known)), "looked": list(map(tuple, looked))}


# People's decisions, by the command line.


def command(home: Path, *arguments: str) -> int:
    """`holdfast …`, and its exit status."""
    os.environ["HOLDFAST_HOME"] = str(home)  # this process is a child, and ends soon
    settings.cache_clear()
    try:
        main([*arguments, "--json"])
    except SystemExit as ended:
        return int(ended.code or 0)


@upon(changed)
def two_generations(home: Path) -> None:
    run(home)


@upon(two_generations)
def rolled_back(home: Path) -> None:
    assert command(home, "rollback", "--tenant", "acme") == 0


def roll_back(home: Path) -> None:
    command(home, "rollback", "--tenant", "acme", "--to", "1")


def is_rolled_back(home: Path) -> None:
    with opened(home) as world:
        live = world.live()
        assert live is not None
        assert live.number == 1
        assert world.run().status == "held"


def resume(home: Path) -> None:
    assert command(home, "resume", "--tenant", "acme") == 0


@upon(published)
def losing_half(home: Path) -> None:
    """Half of the documents were deleted at once: held until somebody says that it was meant."""
    with opened(home) as world:
        commit(world, 2, deletes=[f"d{n}" for n in range(5)])
        world.capture()
        assert world.run().status == "held"


def confirm(home: Path) -> None:
    assert command(home, "deletion", "confirm", "--tenant", "acme", "--by", "me") == 0


def reject(home: Path) -> None:
    assert command(home, "deletion", "reject", "--tenant", "acme", "--by", "me") == 0


# Erasure.

MIRRORED = "https://example.org/handbook.git"


def mirror(home: Path, uri: str = MIRRORED) -> Path:
    return home / "mirrors" / f"{hashlib.sha256(uri.encode()).hexdigest()[:32]}.git"


@upon(two_generations)
def two_tenants(home: Path) -> None:
    with opened(home) as world:
        erased = world.tenant
        other = world.add_tenant("other")
        world.add_source("others")
        world.commit({"x": text_about("walnut")}, source="others")
        assert world.run(other).status == "published"
        world.tenant = erased
        add_source(world, "git", MIRRORED, name="handbook")
    for uri in (MIRRORED, "https://example.org/nobody-s.git"):
        mirror(home, uri).mkdir(parents=True)
        (mirror(home, uri) / "HEAD").write_text("x")


def erase(home: Path) -> None:
    cli.erasure.synchronise_partitions = lambda *_: None  # type: ignore[assignment]
    command(home, "tenant", "erase", "acme", "--yes")


def erased(home: Path) -> Any:
    """Nothing names the tenant but its own blank row; the other one is as it was."""
    with opened(home) as world:
        with world.registry.read() as session:
            acme = session.scalars(select(Tenant).where(Tenant.name == "acme")).one()
            other = session.scalars(select(Tenant).where(Tenant.name == "other")).one()
            rows = _rows_of(session, acme.id)
        assert acme.status == "erased"
        assert rows == {"tenant": 1}
        assert not (world.settings.index / acme.id).exists()
        assert list((home / "mirrors").iterdir()) == []
        world.tenant = other.id
        found = homes.state(world)
        return {"other": found["digest"], "points": found["points"]}


def _rows_of(session: Any, tenant_id: str) -> dict[str, int]:
    found = {}
    for table in inspect(session.connection()).get_table_names():
        columns = {c["name"] for c in inspect(session.connection()).get_columns(table)}
        for column in columns & {"tenant_id", "scope", "id"}:
            query = text(f'SELECT count(*) FROM "{table}" WHERE CAST("{column}" AS TEXT) = :t')
            if count := session.scalar(query, {"t": tenant_id}):
                found[table] = found.get(table, 0) + count
    return found


# Migration, canaries, alerts, rebuilding, backup.


def empty(home: Path) -> None:
    home.mkdir(parents=True)


def initialise(home: Path) -> None:
    retrieval.encoder.identity.identify = lambda _: fake_identity()  # type: ignore[assignment]
    cli.home.initialise(Settings(home=home))


def initialised(home: Path) -> Any:
    registry = Registry(Settings(home=home).registry)
    registry.ensure_current()
    with registry.read() as session:
        tables = sorted(inspect(session.connection()).get_table_names())
        models = session.scalar(text("SELECT count(*) FROM embedding_model"))
    registry.close()
    assert (home / "dagster" / "dagster.yaml").read_text() == cli.home.DAGSTER_YAML
    return tables, models


@upon(two_generations)
def failing_canaries(home: Path) -> None:
    """Two generations; the canaries of the live one ask for what is not there, and it is to roll back."""
    with opened(home) as world:
        world.set_contract(roll_back_on_canary_failure=True, k=1)
        world.ask_about({f"tell me of the {topic}": ["d5"] for topic in TOPICS[:4]})


def ask_the_day(home: Path) -> None:
    with opened(home, LATER) as world:
        ask_today(world.registry, world.searcher, world.tenant, world.clock)


def stepped_back_once(home: Path) -> None:
    with opened(home, LATER) as world:
        live = world.live()
        assert live is not None
        assert live.number == 1
        assert len(world.alerts("canary_failed")) <= 2


def day_s_outcome(home: Path) -> Any:
    found = dict(ending(home))
    # Asked again, the generation that was rolled back to is a new subject of the same complaint.
    found["alerts"] = sorted(found["alerts"])
    return found


@upon(asked_in_vain)
def alerted(home: Path) -> None:
    """Two alerts wait for a webhook."""
    with opened(home) as world:
        world.set_contract(alert_webhook="https://alerts.example.org/hook")
        assert world.run().status == "rejected"
        commit(world, 3, {"d0": text_about(TOPICS[0], version=4)})
        assert world.run().status == "rejected"
        assert len(world.alerts()) == 2


def deliver(home: Path) -> None:
    def take(request: httpx.Request) -> httpx.Response:
        with (home / "delivered").open("a") as file:
            file.write(json.loads(request.content)["id"] + "\n")
        return httpx.Response(200)

    with opened(home) as world, httpx.Client(transport=httpx.MockTransport(take)) as client:
        deliver_all(world.registry, world.clock, client)


def delivered(home: Path) -> Any:
    """Everything got through; twice at most what was under way."""
    with opened(home) as world:
        alerts = world.alerts()
        assert all(alert.delivered_at for alert in alerts)
        got = (home / "delivered").read_text().split()
        assert {alert.fingerprint for alert in alerts} == set(got)
        assert len(got) <= len(alerts) + 1
        return len(alerts)


@upon(two_generations)
def damaged(home: Path) -> None:
    """Both generations lost a byte, the older one a file as well."""
    with opened(home) as world:
        for number in (1, 2):
            files = sorted((world.settings.index / world.tenant / str(number)).rglob("*.mmap"))
            with files[0].open("r+b") as file:
                file.seek(40)
                byte = file.read(1)
                file.seek(40)
                file.write(bytes([byte[0] ^ 1]))
        (world.settings.index / world.tenant / "1" / "postings.npy").unlink()


def repair(home: Path) -> None:
    with opened(home) as world:
        rebuild(world.registry, world.store, world.tenant, 30, world.clock)


def opens_as_recorded(home: Path) -> None:
    with opened(home) as world, world.registry.read() as session:
        served = generations.of_tenant(session, world.tenant, generations.SERVABLE)
        assert len(served) == 2
        for generation in served:
            with world.store.open(GenerationRef(world.tenant, generation.number)) as reader:
                assert reader.digest == generation.digest


def take(home: Path) -> None:
    with opened(home) as world:
        target = home / "backups" / "one"
        if not target.exists():
            take_backup(world.registry, world.settings.index, target, world.clock)


def is_backed_up(home: Path) -> Any:
    place = home / "backups" / "one"
    contents = read_contents(place)
    verify(place, contents)
    assert [path.name for path in place.parent.iterdir()] == ["one"]
    restored = home / "restored"
    restore(place, Settings(home=restored))
    with opened(restored) as world:
        found = homes.state(world)
    return found | {"generations": len(contents.generations)}


@upon(two_generations)
def backed_up(home: Path) -> None:
    take(home)


def put_back(home: Path) -> None:
    target = home / "restored"
    if not target.exists():
        restore(home / "backups" / "one", Settings(home=target))


def is_put_back(home: Path) -> Any:
    assert [p.name for p in home.iterdir() if p.name.startswith(".restored")] == []
    with opened(home / "restored") as world:
        found = homes.state(world)
        assert homes.untidy(world) == []
    return found


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("first-build", begun, run, run_to_the_end, builds=True),
        Scenario("difference-build", changed, run, run_to_the_end, builds=True),
        Scenario("rejected-candidate", asked_in_vain, run, rejected_then_mended, builds=True),
        Scenario("slow-build", changed, run_slowly, run_to_the_end, builds=True),
        Scenario("cut-off-build", cut_off, run, run_to_the_end),
        Scenario("letter-retried", letter_retried, run, run_to_the_end),
        Scenario("judged-again", rejected, run, run_to_the_end, builds=True),
        Scenario("publish-and-retention", retaining_one, run, run_to_the_end, builds=True),
        Scenario("capture-folder", reading_folder, run, run_to_the_end, texts_of_source),
        Scenario("capture-git", reading_git, run, run_to_the_end, texts_of_source),
        Scenario("capture-sqlite", reading_sqlite, run, run_to_the_end, texts_of_source),
        Scenario("capture-mirror", stale_mirror, run, run_to_the_end, texts_of_source),
        Scenario(
            "capture-damaged-mirror", damaged_mirror, look_and_run, look_and_run_to_the_end, texts_of_source
        ),
        Scenario("capture-slot", slotted, run, run_to_the_end, with_slot),
        Scenario("capture-slot-dropped", slot_dropped, run, run_to_the_end, with_slot),
        Scenario("capture-drift", drifted, run, mended_and_run_to_the_end, with_slot),
        Scenario("source-add", wiki_written, add_wiki, add_wiki_and_run),
        Scenario("source-remove", slotted, remove_source, outcome=source_removed),
        Scenario("rollback", two_generations, roll_back, check=is_rolled_back),
        Scenario("resume", rolled_back, resume, check=run_to_the_end),
        Scenario("confirm", losing_half, confirm, check=run_to_the_end, builds=True),
        Scenario("reject", losing_half, reject, check=run_to_the_end),
        Scenario("erase", two_tenants, erase, outcome=erased),
        Scenario("migrate", empty, initialise, outcome=initialised),
        Scenario("daily-canaries", failing_canaries, ask_the_day, None, day_s_outcome, stepped_back_once),
        Scenario("alerts", alerted, deliver, outcome=delivered),
        Scenario("rebuild", damaged, repair, check=opens_as_recorded),
        Scenario("backup", two_generations, take, outcome=is_backed_up),
        Scenario("restore", backed_up, put_back, outcome=is_put_back),
    )
}
