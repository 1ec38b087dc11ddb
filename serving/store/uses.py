"""What a study may be used for, as its patient says, and what an export is for."""

from enum import StrEnum


class Consent(StrEnum):
    """What a patient allows beyond their own care, the widest first."""

    TRAINING = "training"
    CARE_ONLY = "care-only"
    WITHDRAWN = "withdrawn"


class Purpose(StrEnum):
    """What an export is for."""

    TRAINING = "training"
    QUALITY = "quality"
    CARE = "care"
