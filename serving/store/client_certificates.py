"""Whose a client's certificate is: a person's, or a program's that has the rights of a token."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, delete, insert, select, tuple_

from serving.store.access_tables import client_certificates
from serving.store.identity_tables import api_tokens, users


@dataclass(frozen=True, slots=True)
class OwnedCertificate:
    """A certificate by its `kind` (subject or fingerprint) and value, and whose it is: one of the two."""

    key: str
    kind: str
    value: str
    login_name: str | None
    token_key: str | None


def add_certificate(
    connection: Connection,
    *,
    kind: str,
    value: str,
    login_name: str | None,
    token_key: str | None,
    created_by: str,
    now_us: int,
) -> str:
    """Enter a certificate for a person or a token that is there; gives its key."""
    key = secrets.token_hex(16)
    user_id = select(users.c.id).where(users.c.login_name == login_name).scalar_subquery()
    token_id = select(api_tokens.c.id).where(api_tokens.c.key == token_key).scalar_subquery()
    connection.execute(
        insert(client_certificates).values(
            key=key,
            kind=kind,
            value=value,
            user_id=None if login_name is None else user_id,
            token_id=None if token_key is None else token_id,
            created_at=now_us,
            created_by=created_by,
        )
    )
    return key


def find_certificate(connection: Connection, named: Sequence[tuple[str, str]]) -> OwnedCertificate | None:
    """Give the certificate that has one of some pairs of kind and value; a fingerprint counts first."""
    wanted = tuple_(client_certificates.c.kind, client_certificates.c.value).in_(named)
    # "fingerprint" stands before "subject" in the alphabet
    row = connection.execute(_selected().where(wanted).order_by(client_certificates.c.kind)).first()
    return None if row is None else OwnedCertificate(*row)


def read_certificates(connection: Connection) -> list[OwnedCertificate]:
    """Give every certificate, in the order in which they were entered."""
    return [
        OwnedCertificate(*row) for row in connection.execute(_selected().order_by(client_certificates.c.id))
    ]


def remove_certificate(connection: Connection, key: str) -> None:
    """Forget whose a certificate is."""
    connection.execute(delete(client_certificates).where(client_certificates.c.key == key))


def _selected() -> Select[*tuple[Any, ...]]:
    return (
        select(
            client_certificates.c.key,
            client_certificates.c.kind,
            client_certificates.c.value,
            users.c.login_name,
            api_tokens.c.key,
        )
        .outerjoin(users, users.c.id == client_certificates.c.user_id)
        .outerjoin(api_tokens, api_tokens.c.id == client_certificates.c.token_id)
    )
