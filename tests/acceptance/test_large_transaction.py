"""A transaction of 100,000 rows is one commit, captured in bounded memory (5,000 rows unless HOLDFAST_FULL=1)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from registry.database import Registry
from tests.support.logical_postgres import Database, database, logical_server
from tests.support.postgres_capture import CapturedTable

__all__ = ["database", "logical_server"]

FULL = os.environ.get("HOLDFAST_FULL") == "1"
ROWS = 100_000 if FULL else 5_000
# What the process may grow by while it reads and registers them: batches, caches, a sorted set of keys; no rows.
ALLOWED_MB = 120
MEASURED = """
import json, re, sys
from pathlib import Path
from pipelines.capture.capturer import Capturer
from registry.database import Registry

def peak_mb():  # of this program; what getrusage says may be that of the process which started it
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

registry = Registry(sys.argv[1])
capturer = Capturer(registry, Path("unused"), 30)
with registry.read() as session:
    from registry import sources
    sources.present(session)
import pipelines.sources.postgres.postgres_source
before = peak_mb()
captured = capturer.catch_up(int(sys.argv[2]))
print(json.dumps({"error": captured.error, "commits": captured.commits, "upserts": captured.upserts,
                  "deletes": captured.deletes, "grown_mb": peak_mb() - before, "peak_mb": peak_mb()}))
registry.close()
"""


@pytest.mark.timeout(1800)
def test_a_large_transaction_in_bounded_memory(database: Database, sqlite_url: str) -> None:
    registry = Registry(sqlite_url)
    database.execute("CREATE TABLE docs (id int PRIMARY KEY, tenant text, title text, body text)")
    options = {"table": "docs", "key": "id", "title": "title", "body": "body", "tenant_column": "tenant"}
    table = CapturedTable(registry, database.url, options)
    table.add_tenant("acme")
    table.capture_whole()
    body = "(SELECT string_agg(md5((i * 100 + j)::text), ' ') FROM generate_series(1, 30) j)"
    steps = {
        "insert": (f"INSERT INTO docs SELECT i, 'acme', 't', {body} FROM generate_series(1, {ROWS}) i", ROWS, 0),
        "update": ("UPDATE docs SET title = 'u', body = body || '!'", ROWS, 0),
        "delete and insert": (
            "DELETE FROM docs WHERE id % 2 = 0; "
            f"INSERT INTO docs SELECT -i, 'acme', 't', 'b' FROM generate_series(1, {ROWS // 2}) i",
            ROWS // 2, ROWS // 2,
        ),
    }  # fmt: skip
    for name, (statement, upserts, deletes) in steps.items():
        database.transaction(*statement.split("; "))
        started = time.monotonic()
        found = measured(registry, table)
        seconds, grown, peak = time.monotonic() - started, found["grown_mb"], found["peak_mb"]
        print(f"{name}: {ROWS} rows in {seconds:.1f} s, grown by {grown:.0f} MB to {peak:.0f} MB")
        assert found["error"] == ""
        assert (found["commits"], found["upserts"], found["deletes"]) == (1, upserts, deletes)
        assert found["grown_mb"] < ALLOWED_MB
    assert len(table.documents()) == ROWS
    registry.close()


def measured(registry: Registry, table: CapturedTable) -> dict[str, float | str]:
    command = [sys.executable, "-c", MEASURED, registry.url.render_as_string(False), str(table.id)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    result: dict[str, float | str] = json.loads(done.stdout)
    return result
