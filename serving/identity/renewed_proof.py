"""Asks somebody who is signed in to prove it anew before they sign, where the house wants that."""

from dataclasses import dataclass

from fastapi import Request

from serving.errors import Problem, ServiceError
from serving.identity.caller import Caller
from serving.identity.own_account import OwnAccounts
from serving.identity.signing_in import visitor_of
from serving.store.sessions import last_proof_us, prove_session

_US = 1_000_000


@dataclass(frozen=True)
class RenewedProof:
    """Holds signers to a proof that is not too old.

    Parameters
    ----------
    accounts : OwnAccounts or None
        Whose passwords and second factors count; None for a service without sign-in, where nobody is asked.
    within_s : float or None, s
        How old the last proof may be; None: the session is enough.
    """

    accounts: OwnAccounts | None = None
    within_s: float | None = None

    def require(self, request: Request, caller: Caller, *, password: str | None, code: str | None) -> None:
        """Refuse somebody whose last proof is too old and who gives none now.

        Raises
        ------
        ServiceError
            `PROOF_NEEDED`; for one that is wrong, what signing in raises.
        """
        if self.within_s is None or self.accounts is None:
            return
        signing_in = self.accounts.signing_in
        now_us = signing_in.clock()
        with signing_in.database.reading() as connection:
            proved_at_us = None if caller.session is None else last_proof_us(connection, caller.session)
        if proved_at_us is not None and 0 <= now_us - proved_at_us < self.within_s * _US:
            return
        if password is None and code is None:
            raise ServiceError(
                Problem.PROOF_NEEDED,
                "Before you sign, prove that it is you: send 'password', or 'code' of your second factor, "
                "along; or sign in anew.",
            )
        self.accounts.prove(visitor_of(request), caller, password=password, code=code)
        if caller.session is not None:
            with signing_in.database.writing() as connection:
                prove_session(connection, caller.session, now_us=now_us)
