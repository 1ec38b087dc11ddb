"""Turns that several processes take at one PostgreSQL database; SQLite's writers take turns as it is.

A turn is held until the transaction ends. Whoever takes several takes them in the order in which they stand
in :class:`Turn`, and those of one kind all at once, sorted: so no two can wait for each other.
"""

import hashlib
from collections.abc import Iterable
from enum import IntEnum

from sqlalchemy import Connection, text

_WAIT = text("SELECT pg_advisory_xact_lock(:first, 0)")
_WAIT_SHARED = text("SELECT pg_advisory_xact_lock_shared(:first, 0)")
_WAIT_KEYS = text("SELECT pg_advisory_xact_lock(key) FROM unnest(CAST(:keys AS bigint[])) AS key")


class Turn(IntEnum):
    """What only one may do at a time: the first half of an advisory lock's key, "frd" and a number."""

    MIGRATION = 0x66726401
    OBJECTS = 0x66726402
    AUDIT = 0x66726403


def is_shared_by_writers(connection: Connection) -> bool:
    """Whether other transactions may write at the same time as this one."""
    return connection.dialect.name == "postgresql"


def take_turn(connection: Connection, turn: Turn, *, beside_others: bool = False) -> None:
    """Wait for a turn; `beside_others` shares it with all who ask so, and keeps off those who do not."""
    if is_shared_by_writers(connection):
        connection.execute(_WAIT_SHARED if beside_others else _WAIT, {"first": int(turn)})


def take_turns_at(connection: Connection, names: Iterable[str]) -> None:
    """Wait for the turn at each of some things, whatever they are."""
    if is_shared_by_writers(connection):
        keys = sorted({_key(name) for name in names})
        connection.execute(_WAIT_KEYS, {"keys": keys})


def _key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8], signed=True)
