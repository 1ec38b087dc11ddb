"""By what images fall into groups: what their set tells of the patient, and how light the skin looks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.skin_tone import SkinTone
from data.study import LabelledImage, Sex

# First year of each band. On a fold of HAM10000 they hold 3, 19, 44, 108 and 60 malignant lesions: below 30
# nearly all are naevi (66 of 70), from 75 on a fifth are keratinocyte cancers; fifteen years between the two.
AGE_BANDS = {0: "0 to 29", 30: "30 to 44", 45: "45 to 59", 60: "60 to 74", 75: "75 and above"}
SEXES = {Sex.FEMALE: "female", Sex.MALE: "male", Sex.OTHER: "other"}
SKIN_TONE = "skin tone (estimate)"
FITZPATRICK = ("I", "II", "III", "IV", "V", "VI")


@dataclass(frozen=True, slots=True, eq=False)
class Attribute:
    """Something by which images fall into groups.

    Attributes
    ----------
    name : str
        As the card calls it.
    values : (n_rows,) str
        Each image's group, empty where it is not known.
    order : tuple of str
        The groups in the order in which they are shown.
    """

    name: str
    values: NDArray[np.str_]
    order: tuple[str, ...]


def attributes_of(
    images: Sequence[LabelledImage], tones: Sequence[SkinTone | None] | None = None
) -> tuple[Attribute, ...]:
    """Put images into groups by what their set tells of them, and by the estimated tone of their skin.

    Parameters
    ----------
    images : (n_rows,) LabelledImage
    tones : (n_rows,) SkinTone or None
        Estimates of :mod:`data.skin_tone`; None where no skin was looked at.

    Returns
    -------
    tuple of Attribute
        Without those that no image tells.
    """
    contexts = [image.context for image in images]
    sites = [context.body_site or "" for context in contexts]
    by_frequency = sorted({*sites} - {""}, key=lambda site: (-sites.count(site), site))
    candidates = (
        ("sex", [SEXES[one.sex] if one.sex else "" for one in contexts], tuple(SEXES.values())),
        ("age in years", [age_band(one.age_years) for one in contexts], tuple(AGE_BANDS.values())),
        ("body site", sites, tuple(by_frequency)),
        (
            "Fitzpatrick skin type",
            [FITZPATRICK[one.skin_type - 1] if one.skin_type else "" for one in contexts],
            FITZPATRICK,
        ),
        (
            SKIN_TONE,
            [str(tone or "") for tone in tones or [None] * len(images)],
            tuple(str(tone) for tone in SkinTone),
        ),
    )
    return tuple(
        Attribute(name, np.array(values), order) for name, values, order in candidates if any(values)
    )


def age_band(age_years: float | None) -> str:
    """Name the band of an age, empty for none.

    Examples
    --------
    >>> age_band(29.9), age_band(30), age_band(None)
    ('0 to 29', '30 to 44', '')
    """
    return "" if age_years is None else AGE_BANDS[max(first for first in AGE_BANDS if first <= age_years)]
