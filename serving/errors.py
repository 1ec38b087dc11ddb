"""What can go wrong in the service, said so that the sender or the operator can mend it.

An error that reaches a client becomes a problem document (RFC 9457). Which error has which HTTP status
stands in one table, :data:`STATUS_OF_PROBLEM`; nowhere else does a status code meet an error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus


class Problem(StrEnum):
    """The stable code of a problem document; texts may change."""

    MALFORMED_UPLOAD = "malformed-upload"
    NOTHING_TAKEN = "nothing-taken"
    UPLOAD_TOO_LARGE = "upload-too-large"
    INVALID_REQUEST = "invalid-request"
    IDEMPOTENCY_KEY_REUSED = "idempotency-key-reused"
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type"
    FOREIGN_PAGE = "foreign-page"
    UNKNOWN_HOST = "unknown-host"
    NOT_FOUND = "not-found"
    NOT_ACCEPTABLE = "not-acceptable"
    FRAME_UNREADABLE = "frame-unreadable"
    OBJECT_DAMAGED = "object-damaged"
    STORAGE_FULL = "storage-full"
    STORAGE_UNAVAILABLE = "storage-unavailable"
    UPLOAD_TOO_SLOW = "upload-too-slow"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    FAILED = "failed"


STATUS_OF_PROBLEM: Mapping[Problem, HTTPStatus] = {
    Problem.MALFORMED_UPLOAD: HTTPStatus.BAD_REQUEST,
    Problem.NOTHING_TAKEN: HTTPStatus.UNPROCESSABLE_ENTITY,
    Problem.UPLOAD_TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Problem.INVALID_REQUEST: HTTPStatus.UNPROCESSABLE_ENTITY,
    Problem.IDEMPOTENCY_KEY_REUSED: HTTPStatus.UNPROCESSABLE_ENTITY,
    Problem.UNSUPPORTED_MEDIA_TYPE: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    Problem.FOREIGN_PAGE: HTTPStatus.FORBIDDEN,
    Problem.UNKNOWN_HOST: HTTPStatus.MISDIRECTED_REQUEST,
    Problem.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Problem.NOT_ACCEPTABLE: HTTPStatus.NOT_ACCEPTABLE,
    Problem.FRAME_UNREADABLE: HTTPStatus.UNPROCESSABLE_ENTITY,
    Problem.OBJECT_DAMAGED: HTTPStatus.INTERNAL_SERVER_ERROR,
    Problem.STORAGE_FULL: HTTPStatus.INSUFFICIENT_STORAGE,
    Problem.STORAGE_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Problem.UPLOAD_TOO_SLOW: HTTPStatus.REQUEST_TIMEOUT,
    Problem.METHOD_NOT_ALLOWED: HTTPStatus.METHOD_NOT_ALLOWED,
    Problem.FAILED: HTTPStatus.INTERNAL_SERVER_ERROR,
}


@dataclass(frozen=True, slots=True)
class Rejection:
    """One file that was not taken: its name as the sender knows it, the code, the problem, the mend."""

    file: str
    reason: str
    problem: str
    remedy: str


class ServiceError(Exception):
    """Anything that a client is told.

    Parameters
    ----------
    problem : Problem
        The stable code.
    detail : str
        What was wrong and what to do, in a sentence that names the file, study or field.
    rejected : sequence of Rejection
        The files concerned, each with its own code.
    """

    def __init__(self, problem: Problem, detail: str, rejected: Sequence[Rejection] = ()) -> None:
        self.problem = problem
        self.detail = detail
        self.rejected = tuple(rejected)
        super().__init__(f"{problem}: {detail}")

    @property
    def status(self) -> HTTPStatus:
        """The HTTP status that this problem has."""
        return STATUS_OF_PROBLEM[self.problem]


class StartError(Exception):
    """The service cannot start; the message is one sentence that says what to do."""
