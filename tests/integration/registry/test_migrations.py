"""The migrations make exactly what the models say, and can be taken back."""

from __future__ import annotations

import multiprocessing

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from registry.database import Registry
from registry.errors import SchemaOutdated
from registry.schema import Base
from tests.support.racing import migrate


def differences(registry: Registry) -> list[object]:
    with registry.engine.connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), Base.metadata))


def tables(registry: Registry) -> set[str]:
    return set(inspect(registry.engine).get_table_names()) - {"alembic_version"}


def test_migrations_make_the_models(registry: Registry) -> None:
    assert differences(registry) == []
    assert tables(registry) == set(Base.metadata.tables)
    registry.ensure_current()


def test_a_missing_column_would_be_seen(registry: Registry) -> None:
    with registry.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE lease DROP COLUMN holder")
    assert differences(registry) != []


def test_down_and_up_again(registry: Registry) -> None:
    command.downgrade(registry._alembic(), "base")
    assert tables(registry) == set()
    with pytest.raises(SchemaOutdated, match="holdfast init"):
        registry.ensure_current()
    registry.migrate()
    assert differences(registry) == []
    registry.ensure_current()


def test_migrating_twice_changes_nothing(registry: Registry) -> None:
    registry.migrate()
    registry.ensure_current()


def test_an_empty_database_is_outdated(empty_url: str) -> None:
    registry = Registry(empty_url)
    with pytest.raises(SchemaOutdated, match="nothing"):
        registry.ensure_current()
    registry.close()


def test_processes_that_start_together_migrate_once(empty_url: str) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert pool.map(migrate, [empty_url] * 3, chunksize=1) == [True] * 3
    registry = Registry(empty_url)
    assert differences(registry) == []
    registry.close()
