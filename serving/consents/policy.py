"""For which purposes a study may leave the house, given what was said of it."""

from serving.store.uses import Consent, Purpose


def may_leave(consent: Consent | None, purpose: Purpose) -> bool:
    """Whether a study may be exported for a purpose; None stands for a study of which nothing was said.

    To be trained on it takes a consent that says so. Nothing leaves the house once consent was withdrawn.

    Examples
    --------
    >>> may_leave(None, Purpose.TRAINING), may_leave(None, Purpose.CARE)
    (False, True)
    """
    if purpose is Purpose.TRAINING:
        return consent is Consent.TRAINING
    return consent is not Consent.WITHDRAWN
