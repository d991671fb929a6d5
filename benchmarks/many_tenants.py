"""A thousand tenants on one PostgreSQL table: capture, ingestion, a day's canaries, and one huge transaction.

Each figure of capture is taken in a process of its own, so that its peak memory is its own.

    python -m benchmarks.many_tenants --tenants 1000 --rows 100000
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.measure import report, seconds
from benchmarks.postgres import postgres
from canaries.daily import ask_today
from cli.adding_sources import NewSource, add_source
from pipelines.ingestion.due import due_tenants
from pipelines.ingestion.ingestion import Ingestion, open_capturer, open_ingestion
from registry import canaries, contracts, tenants
from registry.canaries import Question, canary_id
from registry.clock import utc_now
from registry.contract import Contract
from registry.database import Registry
from registry.settings import Settings

DOCUMENTS = 5
MAPPING = {
    "table": "docs", "key": "id", "title": "title", "body": "body", "tenant_column": "tenant", "quiescence": "0",
}  # fmt: skip
WORDS = [f"word{n}" for n in range(4_000)]


@dataclass(frozen=True, slots=True)
class Place:
    """A home and the database that its one shared source reads."""

    settings: Settings
    url: str
    tenants: list[str]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tenants", type=int, default=1_000)
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the one huge transaction")
    parser.add_argument("--canaries", type=int, default=20, help="canaries of a tenant")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="holdfast-") as folder, postgres() as url:
        place = _furnish(Path(folder), url, options.tenants, options.canaries)
        _capture(place, "the first snapshot", options.tenants * DOCUMENTS)
        _ingest_all(place)
        _one_changes(place)
        _canaries(place, options.canaries)
        _insert_many(place, options.rows)
        _capture(place, "one transaction", options.rows)


def _furnish(folder: Path, url: str, count: int, questions: int) -> Place:
    settings = Settings(home=folder, lease_seconds=600)  # type: ignore[call-arg]
    names = [f"tenant-{n:04d}" for n in range(count)]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE docs (id text PRIMARY KEY, tenant text, title text, body text)")
        with connection.cursor().copy("COPY docs FROM STDIN") as copy:
            for name in names:
                for n in range(DOCUMENTS):
                    copy.write_row((f"{name}-{n}", name, f"Page {n} of {name}", _body(name, n)))
    registry = Registry(settings.registry)
    registry.migrate()
    made = []
    with registry.write() as session:
        for name in names:
            made.append(tenants.create(session, name, utc_now()).id)
            canaries.replace(session, made[-1], _questions(name, questions), utc_now())
            contracts.store(session, made[-1], Contract(recall_floor=0.2, mrr_floor=0.1), utc_now())
    add_source(registry, settings, NewSource("pages", None, "postgres", url, "bench@example.org", MAPPING))
    registry.close()
    return Place(settings, url, made)


def _body(name: str, n: int) -> str:
    return " ".join(random.Random(f"{name}/{n}").choices(WORDS, k=30))


def _questions(name: str, count: int) -> list[Question]:
    texts = [
        (" ".join(random.Random(f"{name}/{i}").sample(_body(name, i % DOCUMENTS).split(), 5)), i % DOCUMENTS)
        for i in range(count)
    ]
    return [Question(canary_id(text), text, (f"{name}-{n}",)) for text, n in texts]


def _capture(place: Place, what: str, rows: int) -> None:
    figures = _alone(_catch_up, place)
    report(
        f"capturing {what}: peak memory over a process that captures nothing",
        figures["peak_mb"], _alone(_look, place)["peak_mb"], rows=rows, seconds=figures["seconds"],
        rows_per_second=rows / figures["seconds"],
    )  # fmt: skip


def _alone(work: Callable[[Place], None], place: Place) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_measured, args=(work, place, sending))
    process.start()
    figures: dict[str, float] = receiving.recv()
    process.join()
    return figures


def _measured(work: Callable[[Place], None], place: Place, sending: Any) -> None:  # noqa: ANN401
    spent = seconds(lambda: work(place))
    sending.send({"seconds": spent, "peak_mb": _peak_mb()})


def _peak_mb() -> float:
    """Of this program alone: getrusage's figure would include the parent that was forked from."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def _catch_up(place: Place) -> None:
    registry = Registry(place.settings.registry)
    for captured in open_capturer(place.settings, registry, utc_now).catch_up_all():
        if captured.error:
            raise SystemExit(captured.error)


def _look(place: Place) -> None:
    """What capture costs where there is nothing to capture: run after everything was."""
    _catch_up(place)


def _ingest(ingestion: Ingestion, tenant_id: str, run: str) -> str:
    outcome = ingestion.build(tenant_id, run)
    if outcome.status == "published" and outcome.generation is not None:
        ingestion.judge(tenant_id, outcome.generation)
        ingestion.publish(tenant_id, outcome.generation)
    ingestion.release(tenant_id, run)
    return outcome.status


def _ingest_all(place: Place) -> None:
    ingestion = open_ingestion(place.settings)
    spent = seconds(lambda: [_ingest(ingestion, tenant, "first") for tenant in place.tenants])
    count = len(place.tenants)
    index = sum(path.stat().st_blocks * 512 for path in place.settings.index.rglob("*") if path.is_file())
    registry = sum(path.stat().st_size for path in place.settings.state.glob("registry.sqlite3*"))
    raw = sum(len(_body("tenant-0000", n)) for n in range(DOCUMENTS))
    report(
        "disk of a tenant's index over its text", index / count, raw, tenants=count,
        registry_bytes_a_tenant=registry // count, ingest_seconds_a_tenant=spent / count,
    )  # fmt: skip
    _close(ingestion)


def _one_changes(place: Place) -> None:
    with psycopg.connect(place.url, autocommit=True) as connection:
        connection.execute("UPDATE docs SET body = body || ' changed' WHERE id = 'tenant-0000-0'")
    _catch_up(place)
    ingestion = open_ingestion(place.settings)
    due: list[Any] = []
    scanned = seconds(lambda: due.extend(due_tenants(ingestion.registry, ingestion.configuration, utc_now)))
    if [found.tenant_id for found in due] != place.tenants[:1]:
        raise SystemExit(f"one tenant changed, and {len(due)} are due")
    changed = seconds(lambda: _ingest(ingestion, place.tenants[0], "second"))
    others = place.tenants[1:51]
    statuses: list[str] = []
    idle = seconds(lambda: statuses.extend(_ingest(ingestion, tenant, "second") for tenant in others))
    if set(statuses) != {"unchanged"}:
        raise SystemExit(f"tenants without a change ended as {set(statuses)}")
    report("a tenant's run with nothing to do over one with a change", idle / len(others), changed)
    report("looking for due tenants, a tenant, over one run", scanned / len(place.tenants), changed, due=1)
    _close(ingestion)


def _canaries(place: Place, asked: int) -> None:
    ingestion = open_ingestion(place.settings)
    ingestion.encoders.of(ingestion.model.id).encode(["the first call of a model is slow"])
    results: list[bool] = []

    def day() -> None:
        for tenant in place.tenants:
            result = ask_today(ingestion.registry, ingestion.searcher, tenant, utc_now)
            results.append(result.passed)

    spent = seconds(day)
    _close(ingestion)
    runs = [_dagster_run(place, tenant) for tenant in place.tenants[:3]]
    each = sum(runs) / len(runs)
    report(
        "a day's canaries of all tenants in one run over a Dagster run for each", spent,
        each * len(place.tenants), tenants=len(place.tenants), canaries=asked, passed=sum(results),
        seconds_of_a_dagster_run=each,
    )  # fmt: skip


def _dagster_run(place: Place, tenant: str) -> float:
    """Wall time of one tenant's run of `daily_canaries`, in a process of its own as the daemon starts it."""
    home = place.settings.dagster_home
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    environment = os.environ | {"HOLDFAST_HOME": str(place.settings.state), "DAGSTER_HOME": str(home)}
    tags = json.dumps({"dagster/partition": tenant})
    command = [sys.executable, "-m", "dagster", "job", "execute", "-m", "pipelines.definitions"]
    arguments = ["-j", "daily_canaries", "--tags", tags]
    add = (
        "import dagster as dg, sys; dg.DagsterInstance.get().add_dynamic_partitions('tenant', [sys.argv[1]])"
    )
    subprocess.run([sys.executable, "-c", add, tenant], env=environment, check=True, capture_output=True)
    started = time.perf_counter()
    done = subprocess.run([*command, *arguments], env=environment, capture_output=True, check=False)
    if b"RUN_SUCCESS" not in done.stderr + done.stdout:
        raise SystemExit(done.stderr.decode()[-2_000:])
    return time.perf_counter() - started


def _insert_many(place: Place, rows: int) -> None:
    with psycopg.connect(place.url) as connection, connection.cursor().copy("COPY docs FROM STDIN") as copy:
        for n in range(rows):
            name = f"tenant-{n % len(place.tenants):04d}"
            copy.write_row((f"{name}-more-{n}", name, f"Page {n}", _body(name, n)))


def _close(ingestion: Ingestion) -> None:
    ingestion.store.close()
    ingestion.registry.close()


if __name__ == "__main__":
    main()
