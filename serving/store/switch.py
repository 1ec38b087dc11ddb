"""Whether scoring is paused: one row that every worker reads before it begins a study."""

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from serving.store.work_tables import scoring_switch


@dataclass(frozen=True, slots=True)
class Switch:
    """Who paused or resumed scoring, when and why; never set: it runs."""

    is_paused: bool
    reason: str = ""
    set_by: str = ""
    set_at_us: int | None = None


def read_switch(connection: Connection) -> Switch:
    """Say whether scoring is paused."""
    row = connection.execute(select(scoring_switch)).first()
    return Switch(False) if row is None else Switch(row.is_paused, row.reason, row.set_by, row.set_at)


def set_switch(connection: Connection, switch: Switch) -> None:
    """Pause scoring, or resume it."""
    values = {
        "is_paused": switch.is_paused,
        "reason": switch.reason,
        "set_by": switch.set_by,
        "set_at": switch.set_at_us,
    }
    if connection.execute(update(scoring_switch).values(**values)).rowcount == 0:
        connection.execute(insert(scoring_switch).values(id=1, **values))
