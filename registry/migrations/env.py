"""Alembic's entry: runs the migrations on the engine that the registry hands over."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import JSON, text

from registry.crash_points import crash_point
from registry.schema import Base
from registry.schema.base import UtcDateTime


def render(kind: str, item: Any, _context: Any) -> str | Literal[False]:  # noqa: ANN401
    """Our own column types by their names, so that a migration reads as the schema does."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "UtcDateTime()"
    if kind == "type" and isinstance(item, JSON):
        return "Json"
    return False


engine = context.config.attributes["engine"]
with engine.connect().execution_options(holdfast_write=True) as connection:
    if engine.dialect.name == "postgresql":
        # Processes that start together migrate one after the other; SQLite's write lock sees to that itself.
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('holdfast migrations'))"))
    context.configure(
        connection=connection, target_metadata=Base.metadata, render_as_batch=True, render_item=render
    )
    with context.begin_transaction():
        context.run_migrations()
        crash_point("migrate:before-commit")
    connection.commit()
crash_point("migrate:after-commit")
