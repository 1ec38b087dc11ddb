"""For how long a study is waited for after its last image, by what made its images.

A photograph is a study of its own. A radiograph has one to four views, which a technician sends one after
the other within half a minute; a scanner sends its series over minutes, with pauses between reconstructions.
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

ANY: Final = "*"
"""Stands for every modality, or every site."""

MOST_S: Final = 30 * 60
"""The longest that may be set."""

DEFAULT_S: Final[Mapping[str, int]] = MappingProxyType(
    {
        "XC": 0,
        "DMS": 0,
        "CR": 30,
        "DX": 30,
        "MG": 60,
        "CT": 60,
        "MR": 60,
        ANY: 60,
    }
)
"""In seconds, where nothing is set."""


def quiet_s(modalities: Collection[str], *, site: str, settings: Mapping[tuple[str, str], int]) -> int:
    """Give the longest quiet time of some modalities at a site, in seconds.

    Parameters
    ----------
    modalities : collection of str
        What made the images that have come.
    site : str
        Where they come from.
    settings : mapping of (site, modality) to int, s
        What administrators set; either may be :data:`ANY`. The nearest counts: of the site and modality, of
        the site, of the modality, of all, then :data:`DEFAULT_S`.

    Examples
    --------
    >>> quiet_s(["CR", "CT"], site="north", settings={})
    60
    >>> quiet_s(["CT"], site="north", settings={("*", "CT"): 90, ("north", "*"): 5, ("south", "CT"): 7})
    5
    """
    return max((_quiet_s(one, site, settings) for one in modalities), default=DEFAULT_S[ANY])


def _quiet_s(modality: str, site: str, settings: Mapping[tuple[str, str], int]) -> int:
    for place in ((site, modality), (site, ANY), (ANY, modality), (ANY, ANY)):
        if place in settings:
            return settings[place]
    return DEFAULT_S.get(modality, DEFAULT_S[ANY])
