"""What a client's certificate is known by here: its fingerprint, or the subject that its authority gave it.

References
----------
RFC 4514 (distinguished names as text).
"""

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

_HEAD, _TAIL = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"

# people put a space behind the comma; the standard has none
_SPACED = re.compile(r"(?<!\\),\s+")
_NAMES_OF_OPENSSL = {"emailAddress": NameOID.EMAIL_ADDRESS}


@dataclass(frozen=True, slots=True)
class Shown:
    """A certificate that was verified: its subject, and its fingerprint where that is known."""

    subject: str
    fingerprint: str | None = None


def read_certificate(text: str) -> Shown:
    """Read a certificate in PEM, as a file holds it or as proxies write it into a header.

    nginx percent-encodes it; Apache and others put spaces or tabs where lines end.

    Raises
    ------
    ValueError
        If it is none.
    """
    pem = unquote_to_bytes(text).strip()
    if b"\n" not in pem:
        body = pem.removeprefix(_HEAD).removesuffix(_TAIL)
        pem = b"\n".join([_HEAD, *body.split(), _TAIL]) + b"\n"
    certificate = x509.load_pem_x509_certificate(pem)
    der = certificate.public_bytes(Encoding.DER)
    return Shown(certificate.subject.rfc4514_string(), hashlib.sha256(der).hexdigest())


def plain_subject(text: str) -> str:
    """Write a subject in the one form in which subjects are compared.

    Raises
    ------
    ValueError
        If it is no distinguished name of RFC 4514, or an empty one.

    Examples
    --------
    >>> plain_subject("CN=gateway, O=County Hospital,C=CN")
    'CN=gateway,O=County Hospital,C=CN'
    """
    try:
        name = x509.Name.from_rfc4514_string(_SPACED.sub(",", text.strip()), _NAMES_OF_OPENSSL)
    except ValueError:
        name = x509.Name([])
    if not name.rdns:
        raise ValueError(f"{text!r} is no subject: it is written as CN=gateway,O=County Hospital,C=CN")
    return name.rfc4514_string()


def plain_fingerprint(text: str) -> str:
    """Write a fingerprint in the one form in which fingerprints are compared: no colons, small letters.

    Raises
    ------
    ValueError
        If it is no SHA-256.

    Examples
    --------
    >>> plain_fingerprint("AB:" * 31 + "cd") == "ab" * 31 + "cd"
    True
    """
    digits = text.replace(":", "").strip().lower()
    if len(bytes.fromhex(digits)) != hashlib.sha256().digest_size:
        raise ValueError("a fingerprint is a SHA-256: 64 hexadecimal digits, colons between them or not")
    return digits
