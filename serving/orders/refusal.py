"""Why an HL7 message is not taken: the codes of HL7's table 0357, and what they make of the answer."""

from enum import StrEnum


class ErrorCode(StrEnum):
    """HL7 table 0357, message error condition codes."""

    SEGMENT_SEQUENCE = "100"
    FIELD_MISSING = "101"
    DATA_TYPE = "102"
    VALUE_NOT_FOUND = "103"
    UNSUPPORTED_TYPE = "200"
    UNSUPPORTED_EVENT = "201"
    UNSUPPORTED_PROCESSING_ID = "202"
    UNSUPPORTED_VERSION = "203"
    UNKNOWN_KEY = "204"
    INTERNAL = "207"

    @property
    def meaning(self) -> str:
        """What the table calls it."""
        return _MEANING[self]

    @property
    def is_rejection(self) -> bool:
        """Whether it is answered by AR: the message as such, or our state, and not what it says."""
        return self in _REJECTIONS


_MEANING = {
    ErrorCode.SEGMENT_SEQUENCE: "Segment sequence error",
    ErrorCode.FIELD_MISSING: "Required field missing",
    ErrorCode.DATA_TYPE: "Data type error",
    ErrorCode.VALUE_NOT_FOUND: "Table value not found",
    ErrorCode.UNSUPPORTED_TYPE: "Unsupported message type",
    ErrorCode.UNSUPPORTED_EVENT: "Unsupported event code",
    ErrorCode.UNSUPPORTED_PROCESSING_ID: "Unsupported processing id",
    ErrorCode.UNSUPPORTED_VERSION: "Unsupported version id",
    ErrorCode.UNKNOWN_KEY: "Unknown key identifier",
    ErrorCode.INTERNAL: "Application internal error",
}
_REJECTIONS = {
    ErrorCode.UNSUPPORTED_TYPE,
    ErrorCode.UNSUPPORTED_EVENT,
    ErrorCode.UNSUPPORTED_PROCESSING_ID,
    ErrorCode.UNSUPPORTED_VERSION,
    ErrorCode.INTERNAL,
}


class MessageRefusedError(Exception):
    """A message is not taken, and nothing of it.

    Parameters
    ----------
    code : ErrorCode
        Of the table.
    text : str
        What is wrong and the mend, without anything of the patient.
    location : str
        Segment, its number and the field, as ``OBR^1^18``; empty if no field is meant.
    """

    def __init__(self, code: ErrorCode, text: str, location: str = "") -> None:
        self.code = code
        self.text = text
        self.location = location
        super().__init__(f"{code} {text}")
