"""Whether what a sender sends is all that it has of a study."""

from enum import StrEnum


class Arrival(StrEnum):
    """What a sender says with its images."""

    WHOLE = "whole"
    """Nothing more is to come: the studies are complete, and scored at once."""
    PART = "part"
    """More may come: the studies are listed and queued, and scored when they are complete."""
