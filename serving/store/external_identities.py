"""Who a provider's subject is here: by issuer and subject alone, since all else of them may change."""

from sqlalchemy import Connection, insert, select, update

from serving.store.identity_tables import external_identities


def find_linked(connection: Connection, *, issuer: str, subject: str) -> int | None:
    """Give the id of the person whom a provider's subject is linked to, None if to nobody."""
    query = select(external_identities.c.user_id).where(
        external_identities.c.issuer == issuer, external_identities.c.subject == subject
    )
    return connection.execute(query).scalar_one_or_none()


def link_identity(connection: Connection, *, issuer: str, subject: str, user_id: int, now_us: int) -> None:
    """Link a provider's subject to a person, for good."""
    connection.execute(
        insert(external_identities).values(
            issuer=issuer, subject=subject, user_id=user_id, linked_at=now_us, last_seen_at=now_us
        )
    )


def note_seen(connection: Connection, *, issuer: str, subject: str, now_us: int) -> None:
    """Note that somebody came by a provider."""
    connection.execute(
        update(external_identities)
        .where(external_identities.c.issuer == issuer, external_identities.c.subject == subject)
        .values(last_seen_at=now_us)
    )


def linked_identities(connection: Connection, user_id: int) -> list[tuple[str, str]]:
    """Give issuer and subject of what is linked to a person."""
    query = (
        select(external_identities.c.issuer, external_identities.c.subject)
        .where(external_identities.c.user_id == user_id)
        .order_by(external_identities.c.issuer, external_identities.c.subject)
    )
    return [(row.issuer, row.subject) for row in connection.execute(query)]
