"""Everything that a forked child will need, imported beforehand. Nothing here may start a thread."""

from __future__ import annotations

import importlib

for _name in (
    "cli.main",
    "cli.erasure",
    "cli.commands.deletion",
    "cli.commands.resume",
    "cli.commands.rollback",
    "cli.commands.tenant",
    "canaries.daily",
    "canaries.gate",
    "pipelines.alerts.delivery",
    "pipelines.backup.restoring",
    "pipelines.backup.taking",
    "pipelines.ingestion.rebuild",
    "psycopg",
    "retrieval.index.edge.store",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "tests.support.real_sources",
    "tests.support.world",
    "uvicorn",
):
    importlib.import_module(_name)
