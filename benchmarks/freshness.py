"""From a commit in PostgreSQL to an answer, and from a deletion to its invisibility, through what `up` runs.

The capturer, Dagster's daemon and the API are the real processes of `holdfast up`. A page is asked for
by a word of its own until the API answers with it, or until it does no more.

    python -m benchmarks.freshness --changes 20
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psycopg
from sqlalchemy import select

from benchmarks.postgres import postgres
from registry.database import Registry
from registry.schema import Generation, TenantCommit
from registry.settings import Settings

PAGES = 200
PATIENCE = 180.0
LOOK = 0.02


@dataclass(frozen=True, slots=True)
class Running:
    """What `holdfast up` serves, and a key to it."""

    settings: Settings
    client: httpx.Client
    database: psycopg.Connection[Any]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--changes", type=int, default=20)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-") as home,
        postgres() as url,
        _up(home, url) as running,
    ):
        stages = [_change(running, n) for n in range(options.changes)]
        for name in stages[0]:
            _print(f"commit to answer: {name}", [stage[name] for stage in stages])
        _print("deletion to invisibility", [_delete(running, n) for n in range(options.changes)])


@contextmanager
def _up(home: str, url: str) -> Iterator[Running]:
    environment = os.environ | {
        "HOLDFAST_HOME": home, "HOLDFAST_PORT": "8791", "HOLDFAST_DAGSTER_PORT": "8792",
    }  # fmt: skip
    database = psycopg.connect(url, autocommit=True)
    database.execute("CREATE TABLE pages (id int PRIMARY KEY, title text, body text)")
    for n in range(PAGES):
        database.execute(
            "INSERT INTO pages VALUES (%s, %s, %s)", (n, f"Page {n}", f"This page is {_word(n, 0)}.")
        )
    _holdfast(environment, "init")
    _holdfast(environment, "tenant", "create", "acme")
    columns = [f"--option={pair}" for pair in ("table=pages", "key=id", "title=title", "body=body")]
    source = ["source", "add", "pages", "--tenant", "acme", "--kind", "postgres", "--uri", url, *columns]
    _holdfast(environment, *source)
    _holdfast(environment, "ingest", "--tenant", "acme")
    key = _holdfast(environment, "key", "create", "--tenant", "acme")["key"]
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "up"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    client = httpx.Client(
        base_url="http://127.0.0.1:8791", headers={"Authorization": f"Bearer {key}"}, timeout=30
    )
    try:
        _until(lambda: _ready(client), "the API is ready")
        yield Running(Settings(home=Path(home)), client, database)  # type: ignore[call-arg]
    finally:
        process.terminate()
        process.wait(60)
        client.close()
        database.close()


def _holdfast(environment: dict[str, str], *arguments: str) -> Any:  # noqa: ANN401
    command = [sys.executable, "-m", "cli", *arguments, "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{arguments}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def _word(page: int, version: int) -> str:
    return f"zq{page}x{version}q"


def _ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def _found(running: Running, word: str) -> bool:
    answer = running.client.post("/v1/search", json={"query": word, "mode": "lexical", "k": 3}).json()
    return any(word in hit["text"] for hit in answer["hits"])


def _until(true: Any, what: str) -> None:  # noqa: ANN401
    end = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > end:
            raise SystemExit(f"gave up after {PATIENCE:.0f} s of waiting until {what}")
        time.sleep(LOOK)


def _change(running: Running, n: int) -> dict[str, float]:
    """Seconds of each stage of one change."""
    word = _word(n, 1)
    running.database.execute("UPDATE pages SET body = %s WHERE id = %s", (f"This page is now {word}.", n))
    committed = time.time()
    _until(lambda: _found(running, word), f"page {n} is found by its new word")
    answered = time.time()
    registry = Registry(running.settings.registry)
    with registry.read() as session:
        commit = session.scalars(select(TenantCommit).order_by(TenantCommit.seq.desc()).limit(1)).one()
        live = session.scalars(select(Generation).order_by(Generation.number.desc()).limit(1)).one()
    registry.close()
    assert live.published_at is not None
    moments = [committed, _at(commit.captured_at), _at(live.created_at), _at(live.published_at), answered]
    names = ("captured", "pinned, run started, parsed and embedded", "staged, judged, published", "served")
    spent = {name: later - earlier for name, earlier, later in zip(names, moments, moments[1:], strict=False)}
    return {**spent, "in all": answered - committed}


def _at(moment: datetime) -> float:
    return moment.timestamp()


def _delete(running: Running, n: int) -> float:
    """Seconds until a deleted page is found no more."""
    word = _word(PAGES - 1 - n, 0)
    assert _found(running, word)
    running.database.execute("DELETE FROM pages WHERE id = %s", (PAGES - 1 - n,))
    committed = time.time()
    _until(lambda: not _found(running, word), f"page {PAGES - 1 - n} is found no more")
    return time.time() - committed


def _print(name: str, seconds: list[float]) -> None:
    figures = {
        "median": float(np.median(seconds)),
        "p95": float(np.percentile(seconds, 95)),
        "max": max(seconds),
    }
    line = {
        "benchmark": name,
        **{key: round(value, 3) for key, value in figures.items()},
        "changes": len(seconds),
    }
    print(json.dumps({**line, "unit": "s"}), flush=True)


if __name__ == "__main__":
    main()
