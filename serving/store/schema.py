"""Brings a database to the newest schema, and says whether it stands there.

Alembic is loaded only if there is something to migrate: a start on a database that is up to date saves
its import.
"""

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from serving.errors import StartError
from serving.store.engines import AT_LEISURE, check_server
from serving.store.turns import Turn, take_turn

MIGRATIONS = Path(__file__).parent / "migrations"

# The newest migration; a test holds it to what Alembic finds in the folder.
NEWEST = "0019"


def revision_of(connection: Connection) -> str | None:
    """Give the migration at which the database stands, None for one that is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def write_as_it_is(connection: Connection) -> None:
    """Write something and change nothing: a transaction alone tells nothing of a disk that is full.

    SQLite leaves a row alone that would become what it is, yet writes the number in its header.
    """
    if connection.dialect.name == "sqlite":
        number = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        connection.exec_driver_sql(f"PRAGMA user_version = {int(number)}")
    else:
        connection.execute(text("UPDATE alembic_version SET version_num = version_num"))


def migrate(engine: Engine, name: str, target: str = "head") -> None:
    """Run the migrations that are missing, all of them or none; of several processes one does it.

    Parameters
    ----------
    engine : Engine
        A database's.
    name : str
        What a person calls it.
    target : str
        The migration to stop at.

    Raises
    ------
    StartError
        If the database was made by a later version of the program, or cannot be used at all.
    """
    with engine.connect() as connection:
        check_server(connection)
        stands_at = revision_of(connection)
    if stands_at == NEWEST and target == "head":
        return

    from alembic import command  # noqa: PLC0415 - see the module's text
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if stands_at is not None and stands_at not in known:
        raise StartError(
            f"{name} was made by a later version of firstread (schema {stands_at}, this one knows {NEWEST}): "
            "start that version, or name another database."
        )
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        if connection.dialect.name == "postgresql":  # another process may be at it for long
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(AT_LEISURE)
        take_turn(connection, Turn.MIGRATION)
        config.attributes["connection"] = connection
        command.upgrade(config, target)  # finds nothing to do if another process was first
