"""Seals what must be read again but not by whoever gets hold of the database: AES-256-GCM, key in the home.

Several machines on one database need the same key file; without it second factors have to be set up anew.
"""

import base64
import os
import secrets
from pathlib import Path

from serving.errors import StartError

_KEY_BYTES, _NONCE_BYTES = 32, 12


class Seal:
    """Seals and opens short texts under one key."""

    def __init__(self, key: bytes) -> None:
        self.key = key

    def close(self, text: str, *, bound_to: str) -> str:
        """Seal a text; it opens only together with what it is bound to."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - when first needed

        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = AESGCM(self.key).encrypt(nonce, text.encode(), bound_to.encode())
        return base64.b64encode(nonce + sealed).decode("ascii")

    def open(self, sealed: str, *, bound_to: str) -> str | None:
        """Open what was sealed; None if the key is another or it was altered."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - when first needed
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        raw = base64.b64decode(sealed)
        try:
            opened = AESGCM(self.key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], bound_to.encode())
        except InvalidTag:
            return None
        return opened.decode()


def open_seal(home: Path) -> Seal:
    """Read the key of a home, made at the first start.

    Raises
    ------
    StartError
        If it cannot be read or is no key.
    """
    file = home / "identity" / "sealing.key"
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not file.exists():
            _make(file)
        key = bytes.fromhex(file.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise StartError(f"{file} cannot be read as a key ({error}): restore it from the backup.") from error
    if len(key) != _KEY_BYTES:
        raise StartError(
            f"{file} holds {len(key)} bytes, a key has {_KEY_BYTES}: restore it from the backup."
        )
    return Seal(key)


def _make(file: Path) -> None:
    # written aside and linked, so that two processes that start at once have one key, and never half of it
    aside = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as output:
            output.write(secrets.token_hex(_KEY_BYTES))
            output.flush()
            os.fsync(output.fileno())
        try:
            os.link(aside, file)
        except FileExistsError:
            return
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        aside.unlink()
