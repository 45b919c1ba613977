"""Alembic runs this for each migration: on the connection that `migrate` has locked, and in its transaction."""

from alembic import context

from worker.adapters.sql.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
