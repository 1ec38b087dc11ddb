"""Which objects the images and the quarantine refer to: what the collection asks before it takes one away."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, distinct, func, select, union

from serving.store.quarantine_tables import quarantine
from serving.store.tables import instances, objects
from serving.store.turns import Turn, take_turn

# SQLite before 3.32 takes 999 values.
_HASHES_A_QUERY = 300

# Every column that names an object.
_REFERRING = (instances.c.sha256, quarantine.c.object, quarantine.c.corrected)


def hold_references(connection: Connection) -> None:
    """Keep a collection off while this transaction writes rows that refer to objects."""
    take_turn(connection, Turn.OBJECTS, beside_others=True)


def hold_objects(connection: Connection) -> None:
    """Keep off whoever writes rows that refer to objects, while this transaction takes some away."""
    take_turn(connection, Turn.OBJECTS)


def unreferenced(connection: Connection, sha256s: Sequence[str]) -> list[str]:
    """Give those of some hashes that no image of any site has, and nothing in the quarantine."""
    found: list[str] = []
    for start in range(0, len(sha256s), _HASHES_A_QUERY):
        part = sha256s[start : start + _HASHES_A_QUERY]
        query = union(*(select(column).where(column.in_(part)) for column in _REFERRING))
        known = set(connection.execute(query).scalars())
        found.extend(sha256 for sha256 in part if sha256 not in known)
    return found


def forget_object(connection: Connection, sha256: str) -> None:
    """Remove the row of an object that nothing refers to."""
    connection.execute(delete(objects).where(objects.c.sha256 == sha256))


def count_referenced(connection: Connection) -> int:
    """Give how many objects the images and the quarantine of all sites refer to."""
    referred = union(*(select(column.label("sha256")) for column in _REFERRING)).subquery()
    return connection.execute(select(func.count(distinct(referred.c.sha256)))).scalar_one()


def newest_objects(connection: Connection, *, limit: int) -> list[str]:
    """Give the hashes of the images that came last."""
    query = select(instances.c.sha256).order_by(instances.c.id.desc()).limit(limit)
    return list(connection.execute(query).scalars())
