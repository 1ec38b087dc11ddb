"""The quiet times that administrators set, by site and modality; `*` stands for every one of either."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, or_, select

from serving.store.assembly_tables import quiet_times
from serving.store.tenancy import NETWORK, Scope, within
from serving.store.upserts import insert


@dataclass(frozen=True, slots=True)
class QuietTime:
    """A quiet time, who set it and when."""

    site: str
    modality: str
    seconds: int
    set_by: str
    set_at_us: int


def quiet_times_at(connection: Connection, *, site: str) -> Mapping[tuple[str, str], int]:
    """Give what counts at a site, in seconds by site and modality."""
    query = select(quiet_times.c.site_id, quiet_times.c.modality, quiet_times.c.seconds)
    rows = connection.execute(query.where(quiet_times.c.site_id.in_([site, NETWORK])))
    return {(row.site_id, row.modality): row.seconds for row in rows}


def read_quiet_times(connection: Connection, *, scope: Scope) -> list[QuietTime]:
    """Give what is set at the sites of the scope and for all sites."""
    condition = or_(within(scope, quiet_times.c.site_id), quiet_times.c.site_id == NETWORK)
    rows = connection.execute(
        select(quiet_times).where(condition).order_by(quiet_times.c.site_id, quiet_times.c.modality)
    )
    return [QuietTime(row.site_id, row.modality, row.seconds, row.set_by, row.set_at) for row in rows]


def set_quiet_time(connection: Connection, quiet: QuietTime) -> int | None:
    """Set a quiet time, and give what was set before, in seconds."""
    before = _seconds(connection, quiet.site, quiet.modality)
    values = {"seconds": quiet.seconds, "set_by": quiet.set_by, "set_at": quiet.set_at_us}
    statement = insert(connection, quiet_times).values(site_id=quiet.site, modality=quiet.modality, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["site_id", "modality"], set_=values))
    return before


def unset_quiet_time(connection: Connection, *, site: str, modality: str) -> int | None:
    """Let what is less near count again; gives what was set, in seconds, None if nothing was."""
    before = _seconds(connection, site, modality)
    connection.execute(
        delete(quiet_times).where(quiet_times.c.site_id == site, quiet_times.c.modality == modality)
    )
    return before


def _seconds(connection: Connection, site: str, modality: str) -> int | None:
    return connection.execute(
        select(quiet_times.c.seconds).where(quiet_times.c.site_id == site, quiet_times.c.modality == modality)
    ).scalar_one_or_none()
