"""How an operation ended, as the answers of DIMSE say it (PS3.7 annex C, PS3.4 B.2.3, C.4)."""

from typing import Final

from serving.dicomweb.storing import COERCED, OUT_OF_RESOURCES, PROCESSING_FAILURE, failure_of
from serving.errors import Problem, ServiceError

SUCCESS: Final = 0x0000
PENDING: Final = 0xFF00
PENDING_UNMATCHED: Final = 0xFF01
CANCELLED: Final = 0xFE00
NOT_AUTHORISED: Final = 0x0124
UNKNOWN_OPERATION: Final = 0x0211
NO_SUCH_CLASS: Final = 0x0118
NO_SUCH_ACTION: Final = 0x0123
INVALID_ARGUMENT: Final = 0x0115
NO_SUCH_INSTANCE: Final = 0x0112
CLASS_CONFLICT: Final = 0x0119
DATA_SET_MISMATCH: Final = 0xA900
UNKNOWN_DESTINATION: Final = 0xA801
CANNOT_MOVE: Final = 0xA702
SOME_FAILED: Final = 0xB000
STORED_UNDER_ANOTHER_UID: Final = COERCED

_OUT_OF_ROOM = frozenset(
    {
        Problem.STORAGE_FULL,
        Problem.STORAGE_UNAVAILABLE,
        Problem.DATABASE_UNAVAILABLE,
        Problem.UPLOAD_TOO_LARGE,
    }
)


def status_of(error: ServiceError) -> int:
    """Give the status of an operation that was refused.

    Examples
    --------
    >>> hex(status_of(ServiceError(Problem.STORAGE_FULL, "")))
    '0xa700'
    """
    if error.problem in _OUT_OF_ROOM:
        return OUT_OF_RESOURCES
    if error.problem is Problem.BAD_PARAMETER:
        return DATA_SET_MISMATCH
    if error.problem is Problem.NOTHING_TAKEN and error.rejected:
        return failure_of(error.rejected[0])
    return PROCESSING_FAILURE


def comment_on(error: ServiceError) -> str:
    """Say why in the 64 letters that an answer has for it; no value of a header is among them."""
    if error.rejected:
        line = error.rejected[0]
        return f"{line.reason}: {line.remedy}"
    return str(error.problem)
