"""What can go wrong in the service, said so that the sender or the operator can mend it.

An error that reaches a client becomes a problem document (RFC 9457). Which error has which HTTP status
stands in one table, :data:`STATUS_OF_PROBLEM`; nowhere else does a status code meet an error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from types import MappingProxyType


class Problem(StrEnum):
    """The stable code of a problem document; texts may change."""

    MALFORMED_UPLOAD = "malformed-upload"
    NOTHING_TAKEN = "nothing-taken"
    UPLOAD_TOO_LARGE = "upload-too-large"
    INVALID_REQUEST = "invalid-request"
    INVALID_RESOURCE = "invalid-resource"
    PRECONDITION_FAILED = "precondition-failed"
    BAD_PARAMETER = "bad-parameter"
    IDEMPOTENCY_KEY_REUSED = "idempotency-key-reused"
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type"
    FOREIGN_PAGE = "foreign-page"
    SIGN_IN_NEEDED = "sign-in-needed"
    CREDENTIAL_REFUSED = "credential-refused"
    NOT_ALLOWED = "not-allowed"
    LICENCE_NEEDED = "licence-needed"
    PAGE_TOKEN_WRONG = "page-token-wrong"  # noqa: S105 - a code, not a secret
    NO_SITE = "no-site"
    SIGN_IN_FAILED = "sign-in-failed"
    TOO_MANY_TRIES = "too-many-tries"
    SIGN_IN_BUSY = "sign-in-busy"
    LINK_INVALID = "link-invalid"
    CONFLICT = "conflict"
    STUDY_HELD = "study-held"
    STUDY_READ = "study-read"
    READ_ELSEWHERE = "read-elsewhere"
    TOO_MANY_CLAIMS = "too-many-claims"
    CLAIM_NEEDED = "claim-needed"
    CLAIM_EXPIRED = "claim-expired"
    VERSION_STALE = "version-stale"
    STUDY_CHANGED = "study-changed"
    READ_INCOMPLETE = "read-incomplete"
    CODE_UNKNOWN = "code-unknown"
    PROOF_NEEDED = "proof-needed"
    UNKNOWN_HOST = "unknown-host"
    NOT_FOUND = "not-found"
    NOT_ACCEPTABLE = "not-acceptable"
    FRAME_UNREADABLE = "frame-unreadable"
    OBJECT_DAMAGED = "object-damaged"
    STORAGE_FULL = "storage-full"
    STORAGE_UNAVAILABLE = "storage-unavailable"
    DATABASE_UNAVAILABLE = "database-unavailable"
    UPLOAD_TOO_SLOW = "upload-too-slow"
    UPLOAD_GONE = "upload-gone"
    UPLOAD_BUSY = "upload-busy"
    OFFSET_MISMATCH = "offset-mismatch"
    CHECKSUM_MISMATCH = "checksum-mismatch"
    TOO_MUCH_UNFINISHED = "too-much-unfinished"
    PROTOCOL_VERSION = "protocol-version"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    TOO_MANY_REQUESTS = "too-many-requests"
    BODY_TOO_LARGE = "body-too-large"
    ADDRESS_TOO_LONG = "address-too-long"
    HEADERS_TOO_LARGE = "headers-too-large"
    FAILED = "failed"


STATUS_OF_PROBLEM: Mapping[Problem, int] = {
    Problem.MALFORMED_UPLOAD: HTTPStatus.BAD_REQUEST,
    Problem.NOTHING_TAKEN: HTTPStatus.UNPROCESSABLE_ENTITY,
    Problem.UPLOAD_TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Problem.INVALID_REQUEST: HTTPStatus.UNPROCESSABLE_ENTITY,
    Problem.INVALID_RESOURCE: HTTPStatus.BAD_REQUEST,
    Problem.PRECONDITION_FAILED: HTTPStatus.PRECONDITION_FAILED,
    Problem.BAD_PARAMETER: HTTPStatus.BAD_REQUEST,
    Problem.IDEMPOTENCY_KEY_REUSED: HTTPStatus.UNPROCESSABLE_ENTITY,
    Problem.UNSUPPORTED_MEDIA_TYPE: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    Problem.FOREIGN_PAGE: HTTPStatus.FORBIDDEN,
    Problem.SIGN_IN_NEEDED: HTTPStatus.UNAUTHORIZED,
    Problem.CREDENTIAL_REFUSED: HTTPStatus.UNAUTHORIZED,
    Problem.NOT_ALLOWED: HTTPStatus.FORBIDDEN,
    Problem.LICENCE_NEEDED: HTTPStatus.FORBIDDEN,
    Problem.PAGE_TOKEN_WRONG: HTTPStatus.FORBIDDEN,
    Problem.NO_SITE: HTTPStatus.FORBIDDEN,
    Problem.SIGN_IN_FAILED: HTTPStatus.FORBIDDEN,  # of a form: no scheme of RFC 9110 could do better
    Problem.TOO_MANY_TRIES: HTTPStatus.TOO_MANY_REQUESTS,
    Problem.SIGN_IN_BUSY: HTTPStatus.SERVICE_UNAVAILABLE,
    Problem.LINK_INVALID: HTTPStatus.GONE,
    Problem.CONFLICT: HTTPStatus.CONFLICT,
    Problem.STUDY_HELD: HTTPStatus.CONFLICT,
    Problem.STUDY_READ: HTTPStatus.CONFLICT,
    Problem.READ_ELSEWHERE: HTTPStatus.FORBIDDEN,
    Problem.TOO_MANY_CLAIMS: HTTPStatus.CONFLICT,
    Problem.CLAIM_NEEDED: HTTPStatus.CONFLICT,
    Problem.CLAIM_EXPIRED: HTTPStatus.CONFLICT,
    Problem.VERSION_STALE: HTTPStatus.PRECONDITION_FAILED,
    Problem.STUDY_CHANGED: HTTPStatus.CONFLICT,
    Problem.READ_INCOMPLETE: HTTPStatus.UNPROCESSABLE_ENTITY,
    Problem.CODE_UNKNOWN: HTTPStatus.UNPROCESSABLE_ENTITY,
    Problem.PROOF_NEEDED: HTTPStatus.FORBIDDEN,
    Problem.UNKNOWN_HOST: HTTPStatus.MISDIRECTED_REQUEST,
    Problem.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Problem.NOT_ACCEPTABLE: HTTPStatus.NOT_ACCEPTABLE,
    Problem.FRAME_UNREADABLE: HTTPStatus.UNPROCESSABLE_ENTITY,
    Problem.OBJECT_DAMAGED: HTTPStatus.INTERNAL_SERVER_ERROR,
    Problem.STORAGE_FULL: HTTPStatus.INSUFFICIENT_STORAGE,
    Problem.STORAGE_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Problem.DATABASE_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Problem.UPLOAD_TOO_SLOW: HTTPStatus.REQUEST_TIMEOUT,
    Problem.UPLOAD_GONE: HTTPStatus.GONE,
    Problem.UPLOAD_BUSY: HTTPStatus.LOCKED,
    Problem.OFFSET_MISMATCH: HTTPStatus.CONFLICT,
    Problem.CHECKSUM_MISMATCH: 460,  # tus's own: no status of HTTP's registry says it
    Problem.TOO_MUCH_UNFINISHED: HTTPStatus.INSUFFICIENT_STORAGE,
    Problem.PROTOCOL_VERSION: HTTPStatus.PRECONDITION_FAILED,
    Problem.METHOD_NOT_ALLOWED: HTTPStatus.METHOD_NOT_ALLOWED,
    Problem.TOO_MANY_REQUESTS: HTTPStatus.TOO_MANY_REQUESTS,
    Problem.BODY_TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Problem.ADDRESS_TOO_LONG: HTTPStatus.REQUEST_URI_TOO_LONG,
    Problem.HEADERS_TOO_LARGE: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    Problem.FAILED: HTTPStatus.INTERNAL_SERVER_ERROR,
}


@dataclass(frozen=True, slots=True)
class Rejection:
    """One file that was not taken: its name as the sender knows it, the code, the problem, the mend.

    `quarantine` is the key of the entry that lists it, `is_kept` whether that has its bytes.
    """

    file: str
    reason: str
    problem: str
    remedy: str
    quarantine: str | None = None
    is_kept: bool = False


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
    headers : mapping of str to str
        What the answer carries besides, such as ``WWW-Authenticate`` or ``Retry-After``.
    members : mapping of str to object
        What a program needs to go on, in plain JSON values, such as who holds a study: further members of the
        problem document (RFC 9457, 3.2).
    """

    def __init__(
        self,
        problem: Problem,
        detail: str,
        rejected: Sequence[Rejection] = (),
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        members: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        self.problem = problem
        self.detail = detail
        self.rejected = tuple(rejected)
        self.headers = dict(headers)
        self.members = dict(members)
        super().__init__(f"{problem}: {detail}")

    @property
    def status(self) -> int:
        """The HTTP status that this problem has."""
        return STATUS_OF_PROBLEM[self.problem]


class StartError(Exception):
    """The service cannot start; the message is one sentence that says what to do."""
