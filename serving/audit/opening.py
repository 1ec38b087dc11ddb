"""Opens the trail of a home: its database, its key and its head file."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving.audit.head import HeadFile
from serving.audit.keys import PUBLIC_KEY, open_signing_key
from serving.audit.trail import AuditTrail
from serving.settings import Settings
from serving.store.audit_chain import ActorKind, Who
from serving.store.database import Database, open_existing

_HEAD = "head"


def audit_folder(home: Path) -> Path:
    """Give the folder of the keys and, unless it is elsewhere, of the head file."""
    return home / "audit"


def public_key_file(home: Path) -> Path:
    """Give the place of the public key."""
    return audit_folder(home) / PUBLIC_KEY


def open_trail(database: Database, home: Path, *, head_file: Path | None = None) -> AuditTrail:
    """Open the trail of a database; its owner starts and stops it.

    Raises
    ------
    StartError
        If its key cannot be read.
    """
    folder = audit_folder(home)
    key = open_signing_key(folder)
    return AuditTrail(database, key=key, head=HeadFile(head_file or folder / _HEAD))


def head_file_of(settings: Settings) -> Path:
    """Give the place of the head file."""
    return settings.audit_head or audit_folder(settings.home) / _HEAD


def operator() -> Who:
    """Give who runs a program: the name of the account on this machine."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "unknown"
    return Who(ActorKind.OPERATOR, name, address="localhost")


@contextmanager
def opened_trail(settings: Settings) -> Iterator[AuditTrail]:
    """Open the trail of a home for a program that runs beside the service, or without it.

    Raises
    ------
    StartError
        If the home has no database or one of another version.
    """
    database = open_existing(settings.database)
    try:
        yield open_trail(database, settings.home, head_file=settings.audit_head)
    finally:
        database.close()
