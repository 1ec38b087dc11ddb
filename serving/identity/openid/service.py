"""Lets people in by the provider: begins, finishes, opens a session, and keeps in the trail how it ended."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from serving.audit.trail import AuditTrail
from serving.errors import Problem, ServiceError
from serving.identity.caller import SignedInBy, Stage
from serving.identity.described import described, differing
from serving.identity.guesses import Guesses
from serving.identity.openid.accounts import bring_in_step
from serving.identity.openid.claims import ProvidedPerson
from serving.identity.openid.flow import Begun, OpenIdFlow
from serving.identity.openid.terms import SECONDS_TO_SIGN_IN, Fault, OpenIdError
from serving.identity.signing_in import Opened, SigningIn, Visitor
from serving.store.audit_chain import Action, ActorKind, AuditEvent, Result, Who
from serving.store.database import Database
from serving.store.pending_sign_ins import PendingSignIn, put_pending, take_pending
from serving.store.sites import LOCAL_SITE


@dataclass(frozen=True)
class StoredPending:
    """Remembers sign-ins that were begun in the database, so that any process can finish one."""

    database: Database

    def put(self, pending: PendingSignIn) -> None:
        """Remember one, and forget those that nobody came back for."""
        forget_before_us = pending.begun_at_us - SECONDS_TO_SIGN_IN * 1_000_000
        with self.database.writing() as connection:
            put_pending(connection, pending, forget_before_us=forget_before_us)

    def take(self, state_sha256: str) -> PendingSignIn | None:
        """Give one and forget it."""
        with self.database.writing() as connection:
            return take_pending(connection, state_sha256)


@dataclass(frozen=True)
class OpenIdSignIn:
    """Lets people in by one provider.

    `asks_second_factor`: the provider does so itself, and ours is not asked for besides.
    """

    flow: OpenIdFlow
    signing_in: SigningIn
    trail: AuditTrail
    begun: Guesses
    asks_second_factor: bool = False

    @property
    def label(self) -> str:
        """What the provider is called."""
        return self.flow.provider.terms.label

    def begin(self, visitor: Visitor, return_path: str | None) -> Begun:
        """Begin a sign-in.

        Raises
        ------
        OpenIdError
            If the provider cannot be asked.
        ServiceError
            `TOO_MANY_TRIES` if an address begins ever more and finishes none.
        """
        address = visitor.who.address or ""
        if wait_s := self.begun.wait_s(address):
            raise ServiceError(
                Problem.TOO_MANY_TRIES,
                "Too many sign-ins were begun from this address: wait a little.",
                headers={"Retry-After": str(math.ceil(wait_s))},
            )
        self.begun.failed(address)
        return self.flow.begin(return_path)

    def finish(
        self, visitor: Visitor, answer: Mapping[str, str], *, cookie: str | None
    ) -> tuple[Opened, str]:
        """Finish a sign-in; gives the session and the path that it began at.

        Raises
        ------
        OpenIdError
            If nobody is let in; the trail keeps why.
        """
        try:
            provided, path = self.flow.finish(answer, cookie=cookie)
            return self._let_in(visitor, provided), path
        except OpenIdError as error:
            details = {
                "by": SignedInBy.OIDC,
                "issuer": self.flow.provider.terms.issuer,
                "reason": error.fault,
            }
            self.trail.note(
                AuditEvent(
                    Action.LOGGED_IN,
                    visitor.who,
                    LOCAL_SITE,
                    self.trail.clock(),
                    result=Result.REFUSED,
                    details=details,
                )
            )
            raise

    def _let_in(self, visitor: Visitor, provided: ProvidedPerson) -> Opened:
        opened: Opened | None = None
        now_us = self.trail.clock()
        with self.trail.acting() as act:
            step = bring_in_step(act.connection, provided, now_us=now_us)
            if step is not None:
                before = None if step.before is None else described(step.before)
                after = described(step.after)
                if before != after:
                    changed = (None, after) if before is None else differing(before, after)
                    details = {
                        "person": step.after.login_name,
                        "issuer": provided.issuer,
                        "subject": provided.subject,
                        "before": changed[0],
                        "after": changed[1],
                    }
                    who = Who(ActorKind.SERVICE, "openid", None, visitor.who.address, visitor.who.request_id)
                    site = step.after.home_site or LOCAL_SITE
                    act.record(AuditEvent(Action.PERMISSION_CHANGED, who, site, now_us, details=details))
                if step.after.is_active and step.after.grants.roles:
                    person = step.after
                    stage = (
                        Stage.OPEN
                        if self.asks_second_factor
                        else self.signing_in.stage_after_password(act.connection, person)
                    )
                    opened = self.signing_in.open(act.connection, visitor, person, SignedInBy.OIDC, stage)
                    if stage is not Stage.SECOND_FACTOR:
                        said = {"by": SignedInBy.OIDC, "issuer": provided.issuer, "subject": provided.subject}
                        act.record(self.signing_in.event(Action.LOGGED_IN, visitor, person, said))
        if opened is not None:
            return opened
        # said after the transaction, so that what was learnt of the person is kept
        if step is not None and not step.after.is_active:
            raise OpenIdError(Fault.DEACTIVATED, "this account is kept out: ask the operator.")
        raise OpenIdError(
            Fault.NO_ROLE,
            "you are known to the provider, but have no role here: ask the operator to give you one.",
        )
