"""A run that lost its lease does nothing durable any more.

It is stopped (SIGSTOP, as by a long swap or a suspended machine) outside of any transaction, another one takes
over and comes to its end, then the first goes on. Every row and every file must stay what they were.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, text

from pipelines.capture.capturer import Capturer
from pipelines.errors import PipelineError
from registry.database import Registry
from registry.errors import PublicationRefused, RegistryError
from registry.settings import Settings
from retrieval.errors import RetrievalError
from tests.acceptance.crash import homes, recording, scenarios
from tests.acceptance.crash.homes import LATER, NOW, opened
from tests.support.children import Child, call

# Where a stopped process holds no transaction: within one, nobody could take over before it ends.
INGESTING = (
    "prepare:after-commit",
    "embed:after-commit",
    "stage:before-seal",
    "seal:renamed",
    "gate:before-verdicts",
)
MORE = (
    "lease:taken",
    "model:registered",
    "begin:after-commit",
    "stage:begun",
    "stage:upserted",
    "seal:vacuumed",
    "seal:synced",
    "stage:after-seal",
    "seal:after-commit",
    "gate:after-verdicts",
)
FULL = bool(os.environ.get("HOLDFAST_FULL"))


def run_stopped_at(home: Path, point: str) -> str:
    """A whole run that stops itself at a point; how it ended."""
    recording.stop_at(point)
    with opened(home) as world:
        try:
            return world.run().status
        except (PipelineError, RegistryError, RetrievalError, PublicationRefused) as error:
            return type(error).__name__


def take_over(home: Path) -> None:
    """Another run, when the lease has expired."""
    with opened(home, LATER) as world:
        outcome = world.run()
        assert outcome.status == "published", outcome
        assert world.run().status == "unchanged"


def capture_stopped_at(home: Path, point: str) -> dict[str, Any]:
    recording.stop_at(point)
    with opened(home) as world:
        (found,) = world.ingestion.capturer.catch_up_all(world.tenant)
        return {"busy": found.busy, "commits": found.commits, "error": found.error}


def capture_over(home: Path) -> None:
    with opened(home, LATER) as world:
        (found,) = world.ingestion.capture(world.tenant)
        assert not found.error


def publish_stopped_at(home: Path, point: str) -> str:
    """Publishes what a run before it built, and stops itself on the way."""
    recording.stop_at(point)
    with opened(home) as world:
        world.capture()
        try:
            outcome = world.build("stopped")
            if outcome.status == "unchanged":
                return outcome.status
            world.ingestion.judge(world.tenant, outcome.generation or 0)
            world.ingestion.publish(world.tenant, outcome.generation or 0)
        except PublicationRefused as error:
            return error.reason
        except (PipelineError, RegistryError) as error:
            return type(error).__name__
        return "published"


# A stopped run keeps its lease alive by nothing; whoever asks later than this finds it expired.
assert timedelta(seconds=60) < LATER - NOW
BEATS = {"lease"}  # who holds it until when: the one table that says so


def everything_durable(home: Path) -> dict[str, Any]:
    """Every row of the registry and every file of the index, by digest."""
    registry = Registry(Settings(home=home).registry)
    rows: dict[str, Any] = {}
    with registry.read() as session:
        for table in inspect(session.connection()).get_table_names():
            found = session.execute(text(f'SELECT * FROM "{table}"')).all()
            if table not in BEATS:
                rows[table] = sorted(repr(tuple(row)) for row in found)
        served = session.scalars(text("SELECT number FROM generation WHERE status IN ('live', 'retained')"))
        numbers = {str(number) for number in served}
    registry.close()
    ignored = {"edge_config.json", "lock"}
    files = {
        str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((home / "index").rglob("*"))
        # What is being staged is private to the process that stages it, until it is named.
        if path.is_file() and path.name not in ignored and ".stage-" not in str(path)
    }
    return {"rows": json.loads(json.dumps(rows)), "files": files, "served": numbers}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> homes.Kept:
    root = tmp_path_factory.mktemp("fencing")
    home = root / "home"
    for prepare in (scenarios.begun, scenarios.published, scenarios.changed):
        call(prepare, home)
    kept = homes.Kept(home, root / "before")
    kept.keep()
    return kept


@pytest.mark.parametrize("point", INGESTING + (MORE if FULL else ()))
def test_a_run_that_was_taken_over_leaves_everything_as_it_is(before: homes.Kept, point: str) -> None:
    before.put_back()
    stopped = Child(run_stopped_at, before.home, point)
    assert stopped.until_stopped(), f"{point} was not passed"
    call(take_over, before.home)
    found = call(everything_durable, before.home)
    stopped.signal(signal.SIGCONT)
    assert stopped.result() in (
        "IngestRefused",
        "LeaseLost",
        "IngestBusy",
        "PublicationRefused",
        "NotFound",
        "IndexUnavailable",
        "unchanged",
    )
    after = call(everything_durable, before.home)
    # What it had named itself, and nobody else could remove while it held it, it takes away; it adds nothing.
    assert after["files"].items() <= found["files"].items()
    assert {Path(name).parts[2] for name in after["files"]} == after["served"]
    for table, rows in found["rows"].items():
        assert after["rows"][table] == rows, f"{table}, stopped at {point}"


@pytest.mark.parametrize("point", ["gate:after-verdicts", *(["lease:taken"] if FULL else [])])
def test_what_was_taken_over_is_not_published(before: homes.Kept, point: str) -> None:
    before.put_back()
    stopped = Child(publish_stopped_at, before.home, point)
    assert stopped.until_stopped()
    call(take_over, before.home)
    found = call(everything_durable, before.home)
    stopped.signal(signal.SIGCONT)
    assert stopped.result() in ("IngestRefused", "LeaseLost", "fenced", "not_a_candidate", "unchanged")
    assert call(everything_durable, before.home) == found


# Where a capturer holds no transaction.
CAPTURING = (
    "capture:lease-taken",
    "capture:after-commit",
    "capture:after-acknowledge",
    "capture:look-recorded",
    "capture:lease-released",
)


@pytest.mark.parametrize("point", CAPTURING)
def test_a_capture_that_was_taken_over_writes_nothing(before: homes.Kept, point: str) -> None:
    before.put_back()
    call(two_more_commits, before.home)
    stopped = Child(capture_stopped_at, before.home, point)
    assert stopped.until_stopped()
    call(capture_over, before.home)
    found = call(everything_durable, before.home)
    stopped.signal(signal.SIGCONT)
    # Elsewhere it has nothing more to write: what it read again under its lease is already registered.
    assert stopped.result()["busy"] is (point in ("capture:after-commit", "capture:after-acknowledge"))
    assert call(everything_durable, before.home) == found


def test_a_failure_that_a_capturer_met_before_it_was_taken_over_is_not_recorded(before: homes.Kept) -> None:
    before.put_back()
    stopped = Child(fail_stopped, before.home)
    assert stopped.until_stopped()
    call(mend, before.home)
    call(capture_over, before.home)
    found = call(everything_durable, before.home)
    stopped.signal(signal.SIGCONT)
    assert stopped.result() == {"busy": True, "commits": 0, "error": ""}
    assert call(everything_durable, before.home) == found


def fail_stopped(home: Path) -> dict[str, Any]:
    """A capture whose source cannot be read, stopped between the failure and its record."""
    with opened(home) as world:
        world.script().fail("no route to host")
        record = Capturer._note_failure

        def stop_first(*arguments: Any) -> None:
            os.kill(os.getpid(), signal.SIGSTOP)
            record(*arguments)

        Capturer._note_failure = stop_first  # type: ignore[method-assign]
        (found,) = world.ingestion.capturer.catch_up_all(world.tenant)
        return {"busy": found.busy, "commits": found.commits, "error": found.error}


def mend(home: Path) -> None:
    with opened(home) as world:
        world.script().fail("")


def two_more_commits(home: Path) -> None:
    with opened(home) as world:
        scenarios.commit(world, 4, {"d3": "A third text about the copper mine."})
        scenarios.commit(world, 5, {"d4": "A fourth text about the orchard wall."})
