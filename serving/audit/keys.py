"""The key that signs the audit trail: made at the first start, readable by its owner alone.

Ed25519 (RFC 8032). Whoever holds the public key can check the trail without this machine, so hand it to the
auditor early: a trail that was made anew with another key shows by that.
"""

import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from serving.errors import StartError

PRIVATE_KEY = "signing-key.pem"
PUBLIC_KEY = "public-key.pem"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Checks signatures; `fingerprint` is the SHA-256 of the key's 32 bytes."""

    key: Ed25519PublicKey
    fingerprint: str

    @classmethod
    def of(cls, key: Ed25519PublicKey) -> "PublicKey":
        """Wrap a key."""
        return cls(key, hashlib.sha256(key.public_bytes_raw()).hexdigest())

    def has_signed(self, message: bytes, signature: str) -> bool:
        """Whether a signature, in hexadecimal digits, is this key's under a message."""
        try:
            self.key.verify(bytes.fromhex(signature), message)
        except (InvalidSignature, ValueError):
            return False
        return True

    def pem(self) -> bytes:
        """Give the key as it is handed to an auditor."""
        return self.key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Signs; `is_new` says that it was made just now."""

    key: Ed25519PrivateKey
    public: PublicKey
    is_new: bool = False

    def sign(self, message: bytes) -> str:
        """Sign a message; gives hexadecimal digits."""
        return self.key.sign(message).hex()


def open_signing_key(folder: Path) -> SigningKey:
    """Read the key of a folder, made if there is none, and put the public one beside it.

    Raises
    ------
    StartError
        If the file is none of ours or others can read it.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / PRIVATE_KEY
    is_new = not file.exists() and _make(file)
    try:
        if file.stat().st_mode & 0o077:
            raise StartError(f"{file} can be read by others: chmod 600 {file}, and see who did.")
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise StartError(f"{file} is no signing key ({error}): restore it from the backup.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise StartError(f"{file} is a key of another kind, not Ed25519: restore it from the backup.")
    public = PublicKey.of(key.public_key())
    if is_new or not (folder / PUBLIC_KEY).exists():
        (folder / PUBLIC_KEY).write_bytes(public.pem())
    return SigningKey(key, public, is_new)


def read_public_key(file: Path) -> PublicKey:
    """Read a public key.

    Raises
    ------
    StartError
        If the file is none.
    """
    try:
        key = serialization.load_pem_public_key(file.read_bytes())
    except (OSError, ValueError) as error:
        raise StartError(f"{file} is no public key ({error}): name that of the trail.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise StartError(f"{file} is a public key of another kind, not Ed25519.")
    return PublicKey.of(key)


def _make(file: Path) -> bool:
    """Make a key whole or not at all; False if another process was first."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    written = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(pem)
            stream.flush()
            os.fsync(stream.fileno())
        file.hardlink_to(written)
    except FileExistsError:
        return False
    finally:
        written.unlink()
    return True
