"""Times as they are kept: integer microseconds since 1970 in UTC."""

import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now_us() -> int:
    """Give the time of this moment in microseconds since 1970 UTC."""
    return time.time_ns() // 1000


def to_us(moment: datetime) -> int:
    """Turn a time into microseconds since 1970 UTC; one without a zone is taken as UTC.

    Examples
    --------
    >>> to_us(datetime(1970, 1, 1, 0, 0, 1))
    1000000
    """
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def from_us(microseconds: int) -> datetime:
    """Turn microseconds since 1970 into a time in UTC.

    Examples
    --------
    >>> from_us(1_000_000).isoformat()
    '1970-01-01T00:00:01+00:00'
    """
    return _EPOCH + timedelta(microseconds=microseconds)
