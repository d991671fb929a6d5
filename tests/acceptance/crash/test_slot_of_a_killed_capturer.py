"""A capturer of PostgreSQL, killed wherever it wrote: nothing is lost or doubled, and the slot lets go of the log."""

from __future__ import annotations

import os

import pytest

from registry.database import Registry
from tests.support.logical_postgres import Database, database, logical_server
from tests.support.postgres_capture import CapturedTable

__all__ = ["database", "logical_server"]

FULL = bool(os.environ.get("HOLDFAST_FULL"))
POINTS = ["capture:after-commit#2", "capture:look-recorded", "capture:slot-recorded"]
MORE = [
    *("capture:lease-taken", "capture:before-commit", "capture:after-acknowledge", "capture:lease-released"),
    "capture:after-commit",
]
OPTIONS = {"table": "docs", "key": "id", "body": "body", "tenant_column": "tenant"}


@pytest.mark.parametrize("point", POINTS + (MORE if FULL else []))
def test_the_next_look_knows_all_and_the_slot_holds_nothing_back(
    database: Database, sqlite_url: str, point: str
) -> None:
    registry = Registry(sqlite_url)
    database.execute("CREATE TABLE docs (id int PRIMARY KEY, tenant text, body text)")
    table = CapturedTable(registry, database.url, OPTIONS)
    table.add_tenant("acme")
    table.capture_whole()
    database.execute("INSERT INTO docs SELECT i, 'acme', 'text ' || i FROM generate_series(1, 500) i")
    database.execute("UPDATE docs SET body = body || ', edited' WHERE id <= 300")
    assert table.killed_at(point)
    table.capture_whole()  # nothing was committed since
    row, slot = table.row(), table.slot()
    assert slot is not None
    assert row.error == ""
    assert len(table.commits()) == 3
    assert {key: text for key, (_, text) in table.documents().items()} == {
        str(key): body for key, body in database.query("SELECT id, body FROM docs")
    }
    let_go = database.query(
        f"SELECT confirmed_flush_lsn >= '{row.position}'::pg_lsn FROM pg_replication_slots "
        "WHERE slot_name = 'captured_table'"
    )
    assert let_go == [(True,)]
    registry.close()
