"""Whose rows may be read: every query of a site's rows takes the scope of the one who asks.

The condition is made here and nowhere else; a test holds every statement of this room to it.
"""

from dataclasses import dataclass
from typing import Final, Self

from sqlalchemy import ColumnElement, false, true

NETWORK: Final = "*"
"""Stands in the audit trail for somebody of no single site."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The sites whose rows may be read; None stands for every site of the network."""

    sites: frozenset[str] | None

    @classmethod
    def of(cls, *sites: str) -> Self:
        """Give the scope of some sites.

        Examples
        --------
        >>> "north" in Scope.of("north", "south"), "west" in Scope.of("north", "south"), "west" in Scope(None)
        (True, False, True)
        """
        return cls(frozenset(sites))

    def __contains__(self, site: str) -> bool:
        """Whether a site's rows may be read."""
        return self.sites is None or site in self.sites


def within(scope: Scope, site_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Make the condition that a row is of a site in the scope.

    Parameters
    ----------
    scope : Scope
        Of the one who asks.
    site_id : ColumnElement
        The column that says whose row it is.
    """
    if scope.sites is None:
        return true()
    if not scope.sites:
        return false()
    first, *more = sorted(scope.sites)
    return site_id.in_([first, *more]) if more else site_id == first
