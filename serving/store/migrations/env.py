"""What Alembic runs: the migrations, on the connection that :mod:`serving.store.schema` hands over."""

from alembic import context

import serving.store.access_tables
import serving.store.assembly_tables
import serving.store.device_tables
import serving.store.identity_tables
import serving.store.order_tables
import serving.store.quarantine_tables
import serving.store.reading_tables
import serving.store.upload_tables
import serving.store.work_tables  # noqa: F401 - their tables stand in the same metadata
from serving.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
