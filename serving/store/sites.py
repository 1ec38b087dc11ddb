"""The sites: whose study it is. There is one, `local`, until an operator makes others."""

from typing import Final

from sqlalchemy import Connection, select

from serving.store.tables import sites
from serving.store.upserts import insert

LOCAL_SITE: Final = "local"


def ensure_local_site(connection: Connection) -> None:
    """Make the one site, if it is not there yet."""
    if connection.execute(select(sites.c.id).where(sites.c.id == LOCAL_SITE)).first() is None:
        local = insert(connection, sites).values(id=LOCAL_SITE, name="Local")
        connection.execute(local.on_conflict_do_nothing())


def has_site(connection: Connection, site: str) -> bool:
    """Whether there is such a site."""
    return connection.execute(select(sites.c.id).where(sites.c.id == site)).first() is not None


def add_site(connection: Connection, site: str, name: str) -> None:
    """Make a site."""
    connection.execute(sites.insert().values(id=site, name=name))
