"""Answers that were given under an Idempotency-Key, so that a repeated request gets the same one."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select

from serving.store.tables import idempotency


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """An answer, and the SHA-256 of the request it was given to."""

    request_sha256: str
    answer: dict[str, object]


def find_answer(connection: Connection, *, site: str, key: str) -> GivenAnswer | None:
    """Give the answer that was given under `key`, None if the key is new."""
    row = connection.execute(
        select(idempotency).where(idempotency.c.site_id == site, idempotency.c.key == key)
    ).first()
    return None if row is None else GivenAnswer(row.request_sha256, row.answer)


def keep_answer(connection: Connection, given: GivenAnswer, *, site: str, key: str, now_us: int) -> None:
    """Keep an answer, in the transaction that it speaks of."""
    connection.execute(
        idempotency.insert().values(
            site_id=site,
            key=key,
            request_sha256=given.request_sha256,
            answer=given.answer,
            answered_at=now_us,
        )
    )


def prune_answers(connection: Connection, *, before_us: int) -> int:
    """Forget the answers that were given before a time; gives their number.

    A sender that repeats a request later than that has it carried out anew: the same bytes give the same
    study, so nothing is counted twice.
    """
    return connection.execute(delete(idempotency).where(idempotency.c.answered_at < before_us)).rowcount


def count_answers(connection: Connection, *, before_us: int) -> int:
    """Give how many answers were given before a time."""
    query = select(func.count()).select_from(idempotency).where(idempotency.c.answered_at < before_us)
    return connection.execute(query).scalar_one()
