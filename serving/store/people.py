"""People as they are stored: who they are, what they may do, whose studies they see."""

import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from sqlalchemy import (
    BigInteger,
    CompoundSelect,
    Connection,
    Row,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
    union_all,
    update,
)

from serving.store.identity_tables import user_roles, user_sites, user_specialties, users
from serving.store.tenancy import Scope

_NO_SITE: Final = Scope(frozenset())


@dataclass(frozen=True, slots=True)
class Licence:
    """A doctor's licence as somebody verified it; `expires_at_us` None: it does not expire."""

    number: str
    issuer: str
    expires_at_us: int | None
    verified_at_us: int
    verified_by: str

    def is_valid(self, at_us: int) -> bool:
        """Whether it counts at a time."""
        return self.expires_at_us is None or at_us < self.expires_at_us


@dataclass(frozen=True, slots=True)
class Grants:
    """What somebody may do: roles, specialties, and sites (None: every site of the network)."""

    roles: frozenset[str] = frozenset()
    specialties: frozenset[str] = frozenset()
    scope: Scope = _NO_SITE


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may sign in; `key` is the name by which other parts know them."""

    id: int
    key: str
    login_name: str
    name_zh: str
    name_en: str
    is_active: bool
    home_site: str | None
    password_hash: str | None
    licence: Licence | None
    grants: Grants

    def valid_licence(self, at_us: int) -> Licence | None:
        """Give the licence if it counts at a time."""
        return self.licence if self.licence is not None and self.licence.is_valid(at_us) else None


def count_people(connection: Connection) -> int:
    """Give how many people there are, active or not."""
    return connection.execute(select(func.count()).select_from(users)).scalar_one()


def find_person(
    connection: Connection,
    *,
    login_name: str | None = None,
    key: str | None = None,
    user_id: int | None = None,
) -> Person | None:
    """Find somebody by one of the three, with their grants."""
    query = select(users)
    if login_name is not None:
        query = query.where(users.c.login_name == login_name)
    if key is not None:
        query = query.where(users.c.key == key)
    if user_id is not None:
        query = query.where(users.c.id == user_id)
    assert (login_name, key, user_id) != (None, None, None), "nobody is asked for"
    row = connection.execute(query).first()
    return None if row is None else person_of(row, grants_of(connection, row.id, is_all=row.sees_every_site))


def read_people(connection: Connection) -> list[Person]:
    """Give everybody, by login name."""
    rows = connection.execute(select(users).order_by(users.c.login_name)).all()
    return [person_of(row, grants_of(connection, row.id, is_all=row.sees_every_site)) for row in rows]


def grants_of(connection: Connection, user_id: int, *, is_all: bool) -> Grants:
    """Give what somebody may do."""
    found: dict[str, set[str]] = {"role": set(), "specialty": set(), "site": set()}
    for kind, value in connection.execute(_grants_query(), {"user_id": user_id}):
        found[kind].add(value)
    scope = Scope(None) if is_all else Scope(frozenset(found["site"]))
    return Grants(frozenset(found["role"]), frozenset(found["specialty"]), scope)


def add_person(
    connection: Connection,
    *,
    login_name: str,
    name_zh: str,
    name_en: str,
    home_site: str | None,
    grants: Grants,
    now_us: int,
    password_hash: str | None = None,
) -> Person:
    """Enter somebody; without a password they need a link to choose one, or another way to sign in."""
    key = secrets.token_hex(16)
    values = {
        "key": key,
        "login_name": login_name,
        "name_zh": name_zh,
        "name_en": name_en,
        "is_active": True,
        "home_site_id": home_site,
        "sees_every_site": grants.scope.sites is None,
        "password_hash": password_hash,
        "password_changed_at": None if password_hash is None else now_us,
        "created_at": now_us,
    }
    connection.execute(insert(users).values(values))
    person = find_person(connection, key=key)
    assert person is not None
    set_grants(connection, person.id, grants)
    return replace(person, grants=grants)


def set_grants(connection: Connection, user_id: int, grants: Grants) -> None:
    """Replace what somebody may do."""
    sites = grants.scope.sites
    connection.execute(update(users).where(users.c.id == user_id).values(sees_every_site=sites is None))
    kinds: Iterable[tuple[str, Collection[str]]] = (
        ("role", grants.roles),
        ("specialty", grants.specialties),
        ("site_id", sites or ()),
    )
    for table, (column, values) in zip((user_roles, user_specialties, user_sites), kinds, strict=True):
        connection.execute(delete(table).where(table.c.user_id == user_id))
        if values:
            connection.execute(
                insert(table), [{"user_id": user_id, column: value} for value in sorted(values)]
            )


def set_password(connection: Connection, user_id: int, password_hash: str, *, now_us: int) -> None:
    """Replace somebody's password."""
    connection.execute(
        update(users)
        .where(users.c.id == user_id)
        .values(password_hash=password_hash, password_changed_at=now_us)
    )


def renew_hash(connection: Connection, user_id: int, *, before: str, after: str) -> None:
    """Keep the same password under other parameters, unless it was changed meanwhile."""
    connection.execute(
        update(users)
        .where(users.c.id == user_id, users.c.password_hash == before)
        .values(password_hash=after)
    )


def set_licence(connection: Connection, user_id: int, licence: Licence | None) -> None:
    """Replace somebody's licence; None takes it away."""
    values = {
        "licence_number": licence and licence.number,
        "licence_issuer": licence and licence.issuer,
        "licence_expires_at": licence and licence.expires_at_us,
        "licence_verified_at": licence and licence.verified_at_us,
        "licence_verified_by": licence and licence.verified_by,
    }
    connection.execute(update(users).where(users.c.id == user_id).values(values))


def set_active(connection: Connection, user_id: int, *, is_active: bool) -> None:
    """Let somebody in, or keep them out."""
    connection.execute(update(users).where(users.c.id == user_id).values(is_active=is_active))


@cache
def _grants_query() -> CompoundSelect[str, str]:
    # every request asks this: built once, it takes half the time
    user_id = bindparam("user_id", type_=BigInteger)
    return union_all(
        select(literal("role").label("kind"), user_roles.c.role.label("value")).where(
            user_roles.c.user_id == user_id
        ),
        select(literal("specialty"), user_specialties.c.specialty).where(
            user_specialties.c.user_id == user_id
        ),
        select(literal("site"), user_sites.c.site_id).where(user_sites.c.user_id == user_id),
    )


def person_of(row: Row[*tuple[object, ...]], grants: Grants) -> Person:
    """Put a row of the table into words."""
    licence = None
    if row.licence_number is not None and row.licence_verified_at is not None:
        licence = Licence(
            row.licence_number,
            row.licence_issuer or "",
            row.licence_expires_at,
            row.licence_verified_at,
            row.licence_verified_by or "",
        )
    return Person(
        id=row.id,
        key=row.key,
        login_name=row.login_name,
        name_zh=row.name_zh,
        name_en=row.name_en,
        is_active=row.is_active,
        home_site=row.home_site_id,
        password_hash=row.password_hash,
        licence=licence,
        grants=grants,
    )
