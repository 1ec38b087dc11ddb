"""Puts the parts of signing in together for a service, and those of its links for a program beside it."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from serving.audit.opening import opened_trail
from serving.audit.trail import Act, AuditTrail
from serving.identity.authentication import Authenticator
from serving.identity.caller import Role
from serving.identity.gate import Gate
from serving.identity.links import Links
from serving.identity.own_account import OwnAccounts
from serving.identity.password_hashing import PasswordHashing
from serving.identity.presence import SessionAuthenticator, Terms
from serving.identity.refusals import Refusals
from serving.identity.sealing import open_seal
from serving.identity.second_factor import SecondFactors
from serving.identity.signing_in import SigningIn
from serving.identity.tries import Tries
from serving.settings import Settings
from serving.store.audit_chain import Who
from serving.store.database import Database
from serving.store.sessions import forget_sessions

# Sessions that are over, for a look back at where an account was used.
_KEPT_US = 30 * 86400 * 1_000_000


@dataclass(frozen=True)
class Identity:
    """Who may come in and how; `accounts` is None for a service without sign-in."""

    gate: Gate
    accounts: OwnAccounts | None = None

    @classmethod
    def without_sign_in(cls, trail: AuditTrail) -> "Identity":
        """Take everybody for the built-in caller."""
        return cls(Gate.without_sign_in(Refusals(trail)))


def open_identity(
    database: Database,
    trail: AuditTrail,
    home: Path,
    *,
    terms: Terms | None = None,
    factor_roles: Collection[Role] = (),
    besides: Sequence[Authenticator] = (),
    leaving: Callable[[Act, Who], None] | None = None,
) -> Identity:
    """Open what lets people in; `besides` are the ways of programs, which are asked before the session.

    `leaving` is told of those who sign out and are signed in nowhere else.

    Raises
    ------
    StartError
        If the key that seals second factors cannot be read.
    """
    terms = terms or Terms()
    signing_in = SigningIn(
        database=database,
        trail=trail,
        hashing=PasswordHashing(),
        factors=SecondFactors(database, open_seal(home), trail.clock),
        tries=Tries(database),
        terms=terms,
        factor_roles=tuple(factor_roles),
        clock=trail.clock,
        leaving=leaving,
    )
    with database.writing() as connection:
        forget_sessions(connection, before_us=trail.clock() - _KEPT_US)
    gate = Gate([*besides, SessionAuthenticator(database, terms, clock=trail.clock)], Refusals(trail))
    return Identity(gate, OwnAccounts(signing_in, open_links(trail)))


def open_links(trail: AuditTrail) -> Links:
    """Open what makes links."""
    return Links(trail.database, trail, Tries(trail.database), clock=trail.clock)


@contextmanager
def opened_links(settings: Settings) -> Iterator[Links]:
    """Open what makes links for a program beside the service.

    Raises
    ------
    StartError
        If there is no database, or one of another version.
    """
    with opened_trail(settings) as trail:
        yield open_links(trail)
