"""Sign-ins by a provider that were begun: taken out once, in whatever process the browser comes back to."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert

from serving.store.access_tables import pending_sign_ins


@dataclass(frozen=True, slots=True)
class PendingSignIn:
    """What is remembered of a sign-in until the browser is back."""

    state_sha256: str
    browser_sha256: str
    nonce: str
    verifier: str
    return_path: str
    begun_at_us: int


def put_pending(connection: Connection, pending: PendingSignIn, *, forget_before_us: int) -> None:
    """Remember a sign-in, and forget those that nobody came back for."""
    connection.execute(delete(pending_sign_ins).where(pending_sign_ins.c.begun_at < forget_before_us))
    connection.execute(
        insert(pending_sign_ins).values(
            state_sha256=pending.state_sha256,
            browser_sha256=pending.browser_sha256,
            nonce=pending.nonce,
            verifier=pending.verifier,
            return_path=pending.return_path,
            begun_at=pending.begun_at_us,
        )
    )


def take_pending(connection: Connection, state_sha256: str) -> PendingSignIn | None:
    """Give a sign-in and forget it, in one statement: of two that ask at once, one gets it."""
    row = connection.execute(
        delete(pending_sign_ins)
        .where(pending_sign_ins.c.state_sha256 == state_sha256)
        .returning(
            pending_sign_ins.c.state_sha256,
            pending_sign_ins.c.browser_sha256,
            pending_sign_ins.c.nonce,
            pending_sign_ins.c.verifier,
            pending_sign_ins.c.return_path,
            pending_sign_ins.c.begun_at,
        )
    ).first()
    return None if row is None else PendingSignIn(*row)
