"""What the audit trail keeps of a person when something of them changes."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta

from serving.store.people import Person
from serving.store.times import to_us


def described(person: Person) -> dict[str, object]:
    """Say what somebody may do, where they belong and what was verified of them."""
    licence, sites = person.licence, person.grants.scope.sites
    return {
        "is_active": person.is_active,
        "home_site": person.home_site,
        "roles": sorted(person.grants.roles),
        "specialties": sorted(person.grants.specialties),
        "sites": None if sites is None else sorted(sites),
        "names": [person.name_zh, person.name_en],
        "licence": None
        if licence is None
        else {
            "number": licence.number,
            "issuer": licence.issuer,
            "expires_at_us": licence.expires_at_us,
            "verified_by": licence.verified_by,
        },
    }


def differing(
    before: Mapping[str, object], after: Mapping[str, object]
) -> tuple[dict[str, object], dict[str, object]]:
    """Give of two descriptions what differs.

    Examples
    --------
    >>> differing({"a": 1, "b": 2}, {"a": 1, "b": 3})
    ({'b': 2}, {'b': 3})
    """
    names = [name for name in before if before[name] != after[name]]
    return {name: before[name] for name in names}, {name: after[name] for name in names}


def end_of(day: date) -> int:
    """Give the moment at which a licence's last day is over in China, in microseconds since 1970 UTC.

    Examples
    --------
    >>> end_of(date(1970, 1, 1)) == 16 * 3600 * 1_000_000
    True
    """
    return to_us(datetime.combine(day + timedelta(days=1), time(), UTC) - timedelta(hours=8))
