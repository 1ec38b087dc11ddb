"""Stands a secret between a patient and the pseudonyms of what is theirs.

All is made from the project's key by HMAC-SHA-256, so nothing is stored: one key gives a study the same UIDs
and a patient the same pseudonym and the same shift of days in every export, another key gives others, and
nobody without the key can link or test a guess.

A UID or pseudonym made here bears a seal, part of its own number made from the rest under the key. It is so
known again without trusting a header, and mapped to itself: what was de-identified once comes out the same.
"""

import hmac
import re
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from data.dicom.writing import uid_of_digest
from data.errors import KeyFileError

MIN_KEY_BYTES = 32
_MAX_KEY_BYTES = 4096
# Ten years, in whole weeks, so that a Monday stays one.
_MAX_SHIFT_WEEKS = 520
_BODY_BYTES, _SEAL_BYTES = 11, 5
_UID_ROOT = "2.25."
_PATIENT = re.compile(r"FR-([0-9a-f]{32})")


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """Maps UIDs, patients and days under one key.

    Examples
    --------
    >>> ours, theirs = Pseudonyms(b"k" * 32), Pseudonyms(b"l" * 32)
    >>> ours.uid("1.2.3") == ours.uid("1.2.3") != theirs.uid("1.2.3")
    True
    >>> ours.uid(ours.uid("1.2.3")) == ours.uid("1.2.3")
    True
    """

    key: bytes = field(repr=False)

    def uid(self, uid: str) -> str:
        """Give the UID that stands for another (PS3.5 B.2); one that was made here stands for itself."""
        if self._is_sealed(_number_of_uid(uid)):
            return uid
        return uid_of_digest(self._sealed("uid", uid))

    def patient(self, issuer: str, patient_id: str) -> str:
        """Give the pseudonym of a patient, who is an identifier and its issuer."""
        if self._is_pseudonym(patient_id):
            return patient_id
        return f"FR-{self._sealed('patient', issuer, patient_id).hex()}"

    def shift(self, issuer: str, patient_id: str) -> timedelta:
        """Give the days that all of a patient's dates are moved into the past: 1 to 520 weeks.

        Dates of a patient who bears a pseudonym already were moved before: none.
        """
        if self._is_pseudonym(patient_id):
            return timedelta()
        drawn = int.from_bytes(self._mac("days", issuer, patient_id)[:8], "big")
        return timedelta(weeks=1 + drawn % _MAX_SHIFT_WEEKS)

    def file_name(self, content_sha256: bytes) -> str:
        """Give a name for a file that has none but its content."""
        return self._mac("file", content_sha256.hex())[:16].hex()

    @property
    def fingerprint(self) -> str:
        """Eight digits that tell two keys apart and give neither away."""
        return self._mac("fingerprint")[:4].hex()

    def _mac(self, *parts: str) -> bytes:
        return hmac.digest(self.key, "\x00".join(parts).encode(), "sha256")

    def _sealed(self, *parts: str) -> bytes:
        body = self._mac(*parts)[:_BODY_BYTES]
        return body + self._mac("seal", body.hex())[:_SEAL_BYTES]

    def _is_sealed(self, number: bytes | None) -> bool:
        if number is None:
            return False
        body, seal = number[:_BODY_BYTES], number[_BODY_BYTES:]
        return hmac.compare_digest(self._mac("seal", body.hex())[:_SEAL_BYTES], seal)

    def _is_pseudonym(self, patient_id: str) -> bool:
        found = _PATIENT.fullmatch(patient_id)
        return found is not None and self._is_sealed(bytes.fromhex(found[1]))


def read_key(path: Path) -> Pseudonyms:
    """Read a project's key: any file of 32 bytes or more.

    Raises
    ------
    KeyFileError
        If the file is missing, unreadable, too short, too long, or one byte over and over.
    """
    try:
        with path.open("rb") as file:
            key = file.read(_MAX_KEY_BYTES + 1).strip()
    except OSError as error:
        raise KeyFileError(path, f"cannot be read ({error.strerror})") from error
    if not MIN_KEY_BYTES <= len(key) <= _MAX_KEY_BYTES:
        raise KeyFileError(path, f"holds {len(key):,} bytes, expected {MIN_KEY_BYTES} to {_MAX_KEY_BYTES:,}")
    if len(set(key)) < 8:
        raise KeyFileError(path, "holds hardly any different bytes, so it can be guessed")
    return Pseudonyms(key)


def shifted_date(text: str, shift: timedelta) -> str:
    """Move a date (DA), or the date that a date and time (DT) begins with; "" if it is none.

    Examples
    --------
    >>> shifted_date("20240301", timedelta(days=7)), shifted_date("20240301101500.5+0800", timedelta(days=1))
    ('20240223', '20240229101500.5+0800')
    >>> shifted_date("Wang 1973", timedelta(days=7))
    ''
    """
    found = re.fullmatch(r"(\d{4})[.]?(\d{2})[.]?(\d{2})((?:\d{2}){0,3}(?:\.\d{1,6})?(?:[+-]\d{4})?)", text)
    if found is None:
        return ""
    try:
        day = date(int(found[1]), int(found[2]), int(found[3])) - shift
    except (ValueError, OverflowError):
        return ""
    return f"{day:%Y%m%d}".rjust(8, "0") + found[4]


def _number_of_uid(uid: str) -> bytes | None:
    digits = uid.removeprefix(_UID_ROOT)
    if digits == uid or not digits.isascii() or not digits.isdigit() or len(digits) > 39:
        return None
    number = int(digits)
    return number.to_bytes(16, "big") if number < 1 << 128 else None
