"""Second factors and failed tries as they are stored."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from serving.store import upserts
from serving.store.identity_tables import recovery_codes, second_factors, sign_in_failures


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """Somebody's second factor; the secret is sealed, and counts once it was confirmed by a code."""

    sealed_secret: str
    is_confirmed: bool
    last_step: int


@dataclass(frozen=True, slots=True)
class Failures:
    """The failed tries on one thing."""

    n_failures: int
    last_failed_at_us: int
    blocked_until_us: int


def find_factor(connection: Connection, user_id: int) -> SecondFactor | None:
    """Give somebody's second factor, confirmed or not."""
    row = connection.execute(select(second_factors).where(second_factors.c.user_id == user_id)).first()
    if row is None:
        return None
    return SecondFactor(row.sealed_secret, row.confirmed_at is not None, row.last_step)


def set_factor(connection: Connection, user_id: int, sealed_secret: str, *, now_us: int) -> None:
    """Keep a secret that is yet to be confirmed, in place of another that is."""
    remove_factor(connection, user_id)
    connection.execute(
        insert(second_factors).values(
            user_id=user_id, sealed_secret=sealed_secret, created_at=now_us, last_step=0
        )
    )


def confirm_factor(connection: Connection, user_id: int, *, now_us: int) -> None:
    """Let a secret count from now on."""
    connection.execute(
        update(second_factors).where(second_factors.c.user_id == user_id).values(confirmed_at=now_us)
    )


def use_step(connection: Connection, user_id: int, step: int) -> bool:
    """Use up the code of a time step; False if it or a later one was used before."""
    statement = (
        update(second_factors)
        .where(second_factors.c.user_id == user_id, second_factors.c.last_step < step)
        .values(last_step=step)
    )
    return connection.execute(statement).rowcount == 1


def remove_factor(connection: Connection, user_id: int) -> None:
    """Forget a second factor with its recovery codes."""
    connection.execute(delete(recovery_codes).where(recovery_codes.c.user_id == user_id))
    connection.execute(delete(second_factors).where(second_factors.c.user_id == user_id))


def set_recovery_codes(connection: Connection, user_id: int, codes: Sequence[str]) -> None:
    """Replace the codes that stand in for a lost second factor."""
    connection.execute(delete(recovery_codes).where(recovery_codes.c.user_id == user_id))
    rows = [{"code_sha256": _code_digest(user_id, code), "user_id": user_id} for code in codes]
    connection.execute(insert(recovery_codes), rows)


def use_recovery_code(connection: Connection, user_id: int, code: str, *, now_us: int) -> bool:
    """Use a recovery code up; False if it is none, or was used before."""
    statement = (
        update(recovery_codes)
        .where(
            recovery_codes.c.code_sha256 == _code_digest(user_id, code),
            recovery_codes.c.user_id == user_id,
            recovery_codes.c.used_at.is_(None),
        )
        .values(used_at=now_us)
    )
    return connection.execute(statement).rowcount == 1


def count_recovery_codes(connection: Connection, user_id: int) -> int:
    """Give how many recovery codes are left."""
    query = (
        select(func.count())
        .select_from(recovery_codes)
        .where(recovery_codes.c.user_id == user_id, recovery_codes.c.used_at.is_(None))
    )
    return connection.execute(query).scalar_one()


def failures_of(connection: Connection, things: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Failures]:
    """Give the failed tries on some things, each a kind and a subject; none where there are none."""
    found = {}
    for kind, subject in things:
        row = connection.execute(
            select(sign_in_failures).where(
                sign_in_failures.c.kind == kind, sign_in_failures.c.subject == subject
            )
        ).first()
        if row is not None:
            found[kind, subject] = Failures(row.n_failures, row.last_failed_at, row.blocked_until)
    return found


def set_failures(connection: Connection, thing: tuple[str, str], failures: Failures) -> None:
    """Keep the failed tries on something."""
    values = {
        "n_failures": failures.n_failures,
        "last_failed_at": failures.last_failed_at_us,
        "blocked_until": failures.blocked_until_us,
    }
    statement = upserts.insert(connection, sign_in_failures).values(kind=thing[0], subject=thing[1], **values)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[sign_in_failures.c.kind, sign_in_failures.c.subject], set_=values
        )
    )


def clear_failures(connection: Connection, things: Iterable[tuple[str, str]]) -> None:
    """Forget the failed tries on some things."""
    for kind, subject in things:
        connection.execute(
            delete(sign_in_failures).where(
                sign_in_failures.c.kind == kind, sign_in_failures.c.subject == subject
            )
        )


def forget_failures(connection: Connection, *, before_us: int) -> None:
    """Forget failed tries that are long past."""
    connection.execute(delete(sign_in_failures).where(sign_in_failures.c.last_failed_at < before_us))


def _code_digest(user_id: int, code: str) -> str:
    return hashlib.sha256(f"{user_id}:{code}".encode()).hexdigest()
