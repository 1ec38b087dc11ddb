"""What the makers of a labelled set say of it, for the card: whom it shows, who labelled it and how.

A set that `training/statements` does not know, a hospital's own for one, has an empty statement: the card
then names what is missing.
"""

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict

FOLDER = Path(__file__).parent / "statements"

# What a card tells of a set, field by field, and what it is called there.
TITLES = {
    "citation": "Publication",
    "countries": "Countries",
    "years": "Years",
    "people": "People",
    "taken_with": "How the images were taken",
    "reference_standard": "Labels (reference standard)",
    "excluded": "Left out",
    "altered": "Changed since",
}


class Statement(BaseModel):
    """The fields of :data:`TITLES`; empty where the makers do not say, or it is not taken over here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    citation: str = ""
    countries: str = ""
    years: str = ""
    people: str = ""
    taken_with: str = ""
    reference_standard: str = ""
    excluded: str = ""
    altered: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """The titles of what is not told."""
        return tuple(title for name, title in TITLES.items() if not getattr(self, name))


def statement_of(kind: str, folder: Path = FOLDER) -> Statement:
    """Read what is known of a kind of source.

    Examples
    --------
    >>> statement_of("ham10000").years
    'collected over about twenty years, published in 2018'
    >>> statement_of("manifest").missing[:2]
    ('Publication', 'Countries')
    """
    path = folder / f"{kind}.toml"
    if not path.is_file():
        return Statement()
    return Statement.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
