"""Images that came after a study had been complete, or after somebody had taken it to read."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from serving.store.events import Happening, newest_event
from serving.store.reading_tables import claims
from serving.store.tables import instances
from serving.store.tenancy import Scope, within


@dataclass(frozen=True, slots=True)
class LateImages:
    """How many came, when the first of them did, and whether the one who asks held the study then."""

    n_images: int
    at_us: int
    was_held: bool


def late_images(
    connection: Connection, *, scope: Scope, study_id: int, reader: str | None = None
) -> LateImages | None:
    """Give the images that came too late for a result that was there, or for the reader who holds the study.

    Parameters
    ----------
    reader : str or None
        The account of the one who asks.

    Returns
    -------
    LateImages or None
        Of the last time that the study was opened again; None if it never was.
    """
    event = newest_event(connection, scope=scope, study_id=study_id, kind=Happening.LATE_IMAGE)
    held_since_us = None if reader is None else _held_since(connection, study_id, reader)
    if held_since_us is not None:
        after_claim = images_since(connection, scope=scope, study_id=study_id, since_us=held_since_us)
        if after_claim is not None:
            return after_claim
    if event is None:
        return None
    # the event and its images have one moment
    late = images_since(connection, scope=scope, study_id=study_id, since_us=event.at_us - 1)
    return None if late is None else LateImages(late.n_images, event.at_us, was_held=False)


def images_since(connection: Connection, *, scope: Scope, study_id: int, since_us: int) -> LateImages | None:
    """Give the images that came after a moment at which somebody had taken the study; None if none did."""
    row = connection.execute(
        select(func.count(), func.min(instances.c.received_at)).where(
            within(scope, instances.c.site_id),
            instances.c.study_id == study_id,
            instances.c.received_at > since_us,
        )
    ).one()
    n_images, first_us = row
    return LateImages(n_images, first_us, was_held=True) if n_images else None


def _held_since(connection: Connection, study_id: int, reader: str) -> int | None:
    since_us: int | None = connection.execute(
        select(func.max(claims.c.claimed_at)).where(
            claims.c.study_id == study_id,
            claims.c.reader == reader,
            claims.c.ended_at.is_(None),
        )
    ).scalar_one()
    return since_us
