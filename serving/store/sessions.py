"""Sessions and one-time links as they are stored: by the SHA-256 of what the browser holds."""

import hashlib
import secrets
from dataclasses import dataclass
from functools import cache

from sqlalchemy import Connection, Row, Select, String, bindparam, delete, func, insert, or_, select, update

from serving.store.identity_tables import known_devices, one_time_links, sessions, users
from serving.store.people import Person, find_person, grants_of, person_of

# 256 bits: nobody guesses one, so a fast hash is enough.
_TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody's presence in one browser; `key` names it where it is listed, and proves nothing."""

    id: int
    key: str
    user_id: int
    stage: str
    signed_in_by: str
    created_at_us: int
    last_seen_at_us: int
    expires_at_us: int
    ended_at_us: int | None
    address: str | None
    browser: str | None


@dataclass(frozen=True, slots=True)
class OneTimeLink:
    """A link that opens one thing once; `user_id` is None for the first user's set-up."""

    id: int
    purpose: str
    user_id: int | None


def new_token() -> str:
    """Make what a browser holds."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def digest(token: str) -> str:
    """Give the form in which a token is kept."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def add_session(
    connection: Connection,
    token: str,
    *,
    user_id: int,
    stage: str,
    signed_in_by: str,
    now_us: int,
    expires_at_us: int,
    address: str | None,
    browser: str | None,
) -> str:
    """Keep a session, and give its key."""
    key = secrets.token_hex(16)
    connection.execute(
        insert(sessions).values(
            key=key,
            token_sha256=digest(token),
            user_id=user_id,
            stage=stage,
            signed_in_by=signed_in_by,
            created_at=now_us,
            last_seen_at=now_us,
            expires_at=expires_at_us,
            address=address,
            browser=browser,
        )
    )
    return key


def find_session(connection: Connection, token: str) -> tuple[Session, Person] | None:
    """Give the session of a token with its person, whatever state it is in."""
    row = connection.execute(_session_query(), {"token": digest(token)}).first()
    if row is None:
        return None
    grants = grants_of(connection, row.id, is_all=row.sees_every_site)
    return _session(row, "s_"), person_of(row, grants)


def sessions_of(connection: Connection, user_id: int, *, now_us: int) -> list[Session]:
    """Give somebody's sessions that have not ended, the last seen first."""
    query = (
        select(sessions)
        .where(sessions.c.user_id == user_id, sessions.c.ended_at.is_(None), sessions.c.expires_at > now_us)
        .order_by(sessions.c.last_seen_at.desc(), sessions.c.id)
    )
    return [_session(row, "") for row in connection.execute(query)]


def touch_session(connection: Connection, session_id: int, *, now_us: int) -> None:
    """Say that a session was used."""
    connection.execute(update(sessions).where(sessions.c.id == session_id).values(last_seen_at=now_us))


def last_proof_us(connection: Connection, key: str) -> int | None:
    """Give when the owner of a session last proved who they are; None if it has ended."""
    query = select(func.coalesce(sessions.c.proved_at, sessions.c.created_at)).where(
        sessions.c.key == key, sessions.c.ended_at.is_(None)
    )
    return connection.execute(query).scalar_one_or_none()


def prove_session(connection: Connection, key: str, *, now_us: int) -> None:
    """Write down that the owner of a session proved again who they are."""
    connection.execute(update(sessions).where(sessions.c.key == key).values(proved_at=now_us))


def end_session(connection: Connection, session_id: int, *, now_us: int) -> None:
    """End one session."""
    connection.execute(
        update(sessions)
        .where(sessions.c.id == session_id, sessions.c.ended_at.is_(None))
        .values(ended_at=now_us)
    )


def end_sessions_of(
    connection: Connection, user_id: int, *, now_us: int, key: str | None = None, but: str | None = None
) -> int:
    """End somebody's sessions: the one of a key, all but the one of a key, or all; gives how many."""
    statement = update(sessions).where(sessions.c.user_id == user_id, sessions.c.ended_at.is_(None))
    if key is not None:
        statement = statement.where(sessions.c.key == key)
    if but is not None:
        statement = statement.where(sessions.c.key != but)
    return connection.execute(statement.values(ended_at=now_us)).rowcount


def forget_sessions(connection: Connection, *, before_us: int) -> int:
    """Remove sessions and links that ended before a time; the trail keeps that they were."""
    over = or_(sessions.c.expires_at < before_us, sessions.c.ended_at < before_us)
    n_gone = connection.execute(delete(sessions).where(over)).rowcount
    connection.execute(delete(one_time_links).where(one_time_links.c.expires_at < before_us))
    connection.execute(delete(known_devices).where(known_devices.c.last_used_at < before_us))
    return n_gone


def add_link(
    connection: Connection,
    token: str,
    *,
    purpose: str,
    user_id: int | None,
    created_by: str,
    now_us: int,
    expires_at_us: int,
) -> None:
    """Keep a link; those of the same purpose and person lose their use."""
    same = one_time_links.c.purpose == purpose
    whose = one_time_links.c.user_id.is_(None) if user_id is None else one_time_links.c.user_id == user_id
    connection.execute(
        update(one_time_links).where(same, whose, one_time_links.c.used_at.is_(None)).values(used_at=now_us)
    )
    connection.execute(
        insert(one_time_links).values(
            token_sha256=digest(token),
            purpose=purpose,
            user_id=user_id,
            created_at=now_us,
            created_by=created_by,
            expires_at=expires_at_us,
        )
    )


def find_link(connection: Connection, token: str, *, purpose: str, now_us: int) -> OneTimeLink | None:
    """Give a link that can still be used."""
    query = select(one_time_links).where(
        one_time_links.c.token_sha256 == digest(token),
        one_time_links.c.purpose == purpose,
        one_time_links.c.used_at.is_(None),
        one_time_links.c.expires_at > now_us,
    )
    row = connection.execute(query).first()
    return None if row is None else OneTimeLink(row.id, row.purpose, row.user_id)


def use_link(connection: Connection, link: OneTimeLink, *, now_us: int) -> bool:
    """Use a link up; False if somebody else did meanwhile."""
    statement = (
        update(one_time_links)
        .where(one_time_links.c.id == link.id, one_time_links.c.used_at.is_(None))
        .values(used_at=now_us)
    )
    return connection.execute(statement).rowcount == 1


def add_device(connection: Connection, token: str, *, user_id: int, now_us: int) -> None:
    """Remember a browser that somebody signed in with."""
    connection.execute(
        insert(known_devices).values(
            token_sha256=digest(token), user_id=user_id, created_at=now_us, last_used_at=now_us
        )
    )


def is_device_of(connection: Connection, token: str, *, user_id: int, now_us: int) -> bool:
    """Whether a browser is one that somebody signed in with before; notes that it was seen."""
    statement = (
        update(known_devices)
        .where(known_devices.c.token_sha256 == digest(token), known_devices.c.user_id == user_id)
        .values(last_used_at=now_us)
    )
    return connection.execute(statement).rowcount == 1


def forget_devices_of(connection: Connection, user_id: int) -> None:
    """Trust none of the browsers somebody signed in with."""
    connection.execute(delete(known_devices).where(known_devices.c.user_id == user_id))


def load_person(connection: Connection, link: OneTimeLink) -> Person | None:
    """Give whose link it is."""
    return None if link.user_id is None else find_person(connection, user_id=link.user_id)


@cache
def _session_query() -> Select[*tuple[object, ...]]:
    # every request asks this: built once, it takes half the time
    return (
        select(*(column.label(f"s_{column.name}") for column in sessions.c), *users.c)
        .join(users, users.c.id == sessions.c.user_id)
        .where(sessions.c.token_sha256 == bindparam("token", type_=String))
    )


def _session(row: Row[*tuple[object, ...]], prefix: str) -> Session:
    def of(name: str) -> object:
        return getattr(row, prefix + name)

    values = {
        "id": of("id"),
        "key": of("key"),
        "user_id": of("user_id"),
        "stage": of("stage"),
        "signed_in_by": of("signed_in_by"),
        "created_at_us": of("created_at"),
        "last_seen_at_us": of("last_seen_at"),
        "expires_at_us": of("expires_at"),
        "ended_at_us": of("ended_at"),
        "address": of("address"),
        "browser": of("browser"),
    }
    return Session(**values)  # type: ignore[arg-type]  # each is of its column's type
