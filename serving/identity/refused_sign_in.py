"""Why somebody is not signed in, or an account not changed: a reason for programs, a sentence for people."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from serving.errors import Problem, ServiceError


class Reason(StrEnum):
    """What stands in the way; the pages say it in both languages (:mod:`serving.web.account_wording`)."""

    WRONG = "wrong"
    BLOCKED = "blocked"
    BUSY = "busy"
    CODE_WRONG = "code-wrong"
    CODE_AGAIN = "code-again"
    LINK_INVALID = "link-invalid"
    NAME_INVALID = "name-invalid"
    NAME_MISSING = "name-missing"
    PASSWORD_SHORT = "password-short"  # noqa: S105 - a reason, as the five below
    PASSWORD_LONG = "password-long"  # noqa: S105
    PASSWORD_COMMON = "password-common"  # noqa: S105
    PASSWORD_PERSONAL = "password-personal"  # noqa: S105
    PASSWORD_DIFFERS = "password-differs"  # noqa: S105
    PASSWORD_WRONG = "password-wrong"  # noqa: S105
    FACTOR_REQUIRED = "factor-required"


_PROBLEM_OF_REASON: Final[Mapping[Reason, Problem]] = {
    Reason.WRONG: Problem.SIGN_IN_FAILED,
    Reason.CODE_WRONG: Problem.SIGN_IN_FAILED,
    Reason.CODE_AGAIN: Problem.SIGN_IN_FAILED,
    Reason.PASSWORD_WRONG: Problem.SIGN_IN_FAILED,
    Reason.BLOCKED: Problem.TOO_MANY_TRIES,
    Reason.BUSY: Problem.SIGN_IN_BUSY,
    Reason.LINK_INVALID: Problem.LINK_INVALID,
}

_SENTENCES: Final[Mapping[Reason, str]] = {
    Reason.WRONG: "The name or the password is not right.",
    Reason.BLOCKED: "Too many tries went wrong: try again in {seconds} s.",
    Reason.BUSY: "Too many people sign in at this moment: try again in a few seconds.",
    Reason.CODE_WRONG: "The code is not right, or not any more: type the one that is shown now.",
    Reason.CODE_AGAIN: "This code was used already: wait for the next one.",
    Reason.LINK_INVALID: "The link was used, has expired or was replaced by a newer one: ask for another.",
    Reason.NAME_INVALID: "A login name is 2 to 64 letters, digits, or . _ - @ without spaces.",
    Reason.NAME_MISSING: "A name by which others know you is missing.",
    Reason.PASSWORD_SHORT: "The password is too short: at least {characters} characters.",
    Reason.PASSWORD_LONG: "The password is too long: at most 256 characters.",
    Reason.PASSWORD_COMMON: "The password is one of those that are tried first: choose a less usual one.",
    Reason.PASSWORD_PERSONAL: "The password is made of your name or this service's: choose another.",
    Reason.PASSWORD_DIFFERS: "The two passwords differ.",
    Reason.PASSWORD_WRONG: "The present password is not right.",
    Reason.FACTOR_REQUIRED: "Your role needs a second factor: it can be replaced, not switched off.",
}


class SignInRefusedError(ServiceError):
    """Somebody is not signed in, or an account not changed.

    `seconds` is when a further try makes sense, `characters` how long a password must be.
    """

    def __init__(self, reason: Reason, *, seconds: int = 0, characters: int = 0) -> None:
        self.reason = reason
        self.seconds = seconds
        self.characters = characters
        headers = {"Retry-After": str(seconds)} if seconds else {}
        super().__init__(
            _PROBLEM_OF_REASON.get(reason, Problem.INVALID_REQUEST),
            _SENTENCES[reason].format(seconds=seconds, characters=characters),
            headers=headers,
        )
