"""A consistent copy of a SQLite registry while others write to it."""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from registry.database import Registry
from registry.errors import RegistryError


def is_file(registry: Registry) -> bool:
    """Whether this registry is a file of ours, and not a database server's."""
    return registry.url.get_backend_name() == "sqlite" and bool(registry.url.database)


def copy_to(registry: Registry, target: Path) -> None:
    """Copy the registry as it is at one instant to a new file, with SQLite's backup API, and fsync it.

    Raises RegistryError for a registry that is no file, OSError where the target's disk is full.
    """
    if not is_file(registry):
        raise RegistryError("only a SQLite registry can be copied as a file: use the server's own tools")
    # Opened only where it is: connecting must not create what it cannot find.
    origin = f"file:{Path(str(registry.url.database)).absolute()}?mode=ro"
    with closing(sqlite3.connect(origin, uri=True)) as source, closing(sqlite3.connect(target)) as copy:
        try:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target)) from error
    descriptor = os.open(target, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def examine(path: Path) -> str:
    """What SQLite finds wrong with a copy; empty where it is whole."""
    with closing(sqlite3.connect(f"file:{path.absolute()}?mode=ro", uri=True)) as copy:
        try:
            found = [str(row[0]) for row in copy.execute("PRAGMA integrity_check(3)")]
        except sqlite3.DatabaseError as error:
            return str(error)
    return "" if found == ["ok"] else "; ".join(found)
