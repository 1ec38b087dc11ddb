"""Whose rows may be read: every query of a site's rows takes the scope of the one who asks."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scope:
    """The sites whose rows may be read; None stands for every site of the network."""

    sites: frozenset[str] | None
