"""How many images a study should have, as its files or the device that made it say.

It may be said before the first image comes, so it is kept by the study's UID. A device that speaks of its
performed procedure step (MPPS) knows what it made: its word counts before that of a file's header.

References
----------
PS3.3 C.4.14 (performed procedure step), PS3.3 C.7.6.1 (Images in Acquisition), PS3.4 C.3.4 (Number of Study
and Series Related Instances), whose use in a stored file is a custom of some devices.
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, case, select

from data.study import Announced, AnnouncedOf
from serving.store.assembly_tables import expected_images
from serving.store.turns import take_turns_at
from serving.store.upserts import insert

STEP = "step"


def total_of(said: Iterable[tuple[str, str, int | None]]) -> int | None:
    """Give the number of images of a study from what was said of its parts, None if that does not tell.

    Parameters
    ----------
    said : iterable of (source, part, number)
        A step that is not at its end has no number. A series' number completes a study only if it is known
        how many series there are: or else the scout would be taken for the whole.

    Examples
    --------
    >>> total_of([("study", "", 40)]), total_of([("series", "1.2", 40)])
    (40, None)
    >>> total_of([("series-count", "", 2), ("series", "1.2", 40), ("acquisition", "1.3 1", 2)])
    42
    >>> total_of([("study", "", 40), ("step", "9.1", 42), ("step", "9.2", None)]) is None
    True
    """
    rows = list(said)
    steps = [n for source, _, n in rows if source == STEP]
    if steps:
        return None if None in steps else sum(n or 0 for n in steps)
    of_series: dict[str, int] = {}
    for source, part, n in rows:
        if source == AnnouncedOf.ACQUISITION:
            uid = part.partition(" ")[0]
            of_series[uid] = of_series.get(uid, 0) + (n or 0)
    of_series |= {part: n or 0 for source, part, n in rows if source == AnnouncedOf.SERIES}
    for source, _, n in rows:
        if source == AnnouncedOf.STUDY:
            return n
        if source == AnnouncedOf.SERIES_COUNT and n == len(of_series):
            return sum(of_series.values())
    return None


def announce(
    connection: Connection, announced: Sequence[Announced], *, site: str, study_uid: str, now_us: int
) -> None:
    """Keep what files say; of several that differ the largest counts."""
    statement = insert(connection, expected_images)
    kept, new = expected_images.c.n, statement.excluded.n
    larger = statement.on_conflict_do_update(
        index_elements=["site_id", "study_uid", "source", "part"],
        set_={"n": case((new > kept, new), else_=kept), "said_at": statement.excluded.said_at},
    )
    rows = [
        {
            "site_id": site,
            "study_uid": study_uid,
            "source": str(one.of),
            "part": one.part,
            "n": one.n,
            "said_at": now_us,
        }
        for one in announced
    ]
    connection.execute(larger, rows)


def say_step(
    connection: Connection, *, site: str, study_uid: str, step_uid: str, n_images: int | None, now_us: int
) -> None:
    """Keep how many images a performed procedure step made, None as long as it is not at its end."""
    take_turns_at(connection, [turn_at(site, study_uid)])  # so that no first image comes meanwhile
    values = {"n": n_images, "said_at": now_us}
    statement = insert(connection, expected_images).values(
        site_id=site, study_uid=study_uid, source=STEP, part=step_uid, **values
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["site_id", "study_uid", "source", "part"], set_=values
        )
    )


def expected_total(connection: Connection, *, site: str, study_uid: str) -> int | None:
    """Give how many images a study should have, None if that is not known."""
    rows = connection.execute(
        select(expected_images.c.source, expected_images.c.part, expected_images.c.n).where(
            expected_images.c.site_id == site, expected_images.c.study_uid == study_uid
        )
    )
    return total_of((row.source, row.part, row.n) for row in rows)


def turn_at(site: str, study_uid: str) -> str:
    """Name the turn at a study that may not be there yet."""
    return f"study\0{site}\0{study_uid}"
