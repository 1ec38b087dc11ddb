"""The sites: whose study it is. There is one, `local`, until an operator makes others."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from serving.store.tables import sites
from serving.store.upserts import insert

LOCAL_SITE: Final = "local"


@dataclass(frozen=True, slots=True)
class Site:
    """A site of the network."""

    id: str
    name: str


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


def read_sites(connection: Connection) -> list[Site]:
    """Give every site, by id."""
    return [Site(row.id, row.name) for row in connection.execute(select(sites).order_by(sites.c.id))]


def find_site(connection: Connection, site: str) -> Site | None:
    """Give a site, None if there is none of that id."""
    row = connection.execute(select(sites).where(sites.c.id == site)).first()
    return None if row is None else Site(row.id, row.name)


def known_sites(connection: Connection) -> frozenset[str]:
    """Give the ids of every site."""
    return frozenset(connection.execute(select(sites.c.id)).scalars())


def rename_site(connection: Connection, site: str, name: str) -> None:
    """Give a site another name."""
    connection.execute(sites.update().where(sites.c.id == site).values(name=name))
