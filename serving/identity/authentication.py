"""How a request proves whose it is: a chain of ways, each of which knows one kind of proof."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from fastapi import Request

from serving.identity.caller import Caller, local_caller


class CredentialRefusedError(Exception):
    """A request carries a proof that is no good: forged, expired, revoked.

    Parameters
    ----------
    kind : str
        Which kind of proof, for the audit trail: ``session``, ``token``.
    reason : str
        What is wrong with it, for the audit trail: ``unknown``, ``expired``.
    clearing : str or None
        A ``Set-Cookie`` that has the browser forget it.
    details : mapping of str to str
        What else the audit trail should know, such as which token it is.
    """

    def __init__(
        self,
        kind: str,
        reason: str,
        *,
        clearing: str | None = None,
        details: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.details = dict(details)
        self.kind = kind
        self.reason = reason
        self.clearing = clearing
        super().__init__(f"{kind}: {reason}")


class Authenticator(Protocol):
    """Knows one kind of proof.

    Gives None for a request that carries none of its kind, so that the next one is asked, and raises
    :class:`CredentialRefusedError` for one that is no good: a bad proof is never made up for by another.
    `challenge` is what it asks for in ``WWW-Authenticate``.
    """

    @property
    def challenge(self) -> str | None:
        """The scheme that a client can use, as ``WWW-Authenticate`` names it; None: not to be told."""

    def __call__(self, request: Request) -> Caller | None:
        """Find out who asks."""


class WithoutSignIn:
    """Takes whoever reaches the service for the built-in caller that may do everything."""

    challenge: str | None = None

    def __call__(self, request: Request) -> Caller | None:
        """Give the built-in caller."""
        return local_caller(request)


def identify(authenticators: Sequence[Authenticator], request: Request) -> Caller | None:
    """Ask one after another who it is.

    Raises
    ------
    CredentialRefusedError
        If the request carries a proof that is no good.
    """
    for authenticator in authenticators:
        caller = authenticator(request)
        if caller is not None:
            return caller
    return None
