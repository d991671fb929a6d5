"""Alembic's entry: runs the migrations on the engine that the gateway hands over."""

from alembic import context
from sqlalchemy import text

from gateway_client.store.schema import VERSION_TABLE, metadata

engine = context.config.attributes["engine"]
with engine.connect().execution_options(gateway_write=True) as connection:
    if engine.dialect.name == "postgresql":
        # Processes that start together migrate one after the other; SQLite's write lock sees to that itself.
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('holdfast gateway migrations'))"))
    context.configure(
        connection=connection, target_metadata=metadata, render_as_batch=True, version_table=VERSION_TABLE
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
