"""Gives and changes what a study may be used for, and tells which exports held it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from serving.audit.trail import AuditTrail
from serving.errors import Problem, ServiceError
from serving.store.audit_chain import Action, AuditEvent, Result, Who
from serving.store.consent import Statement, consent_of, hold_study, say
from serving.store.database import Database
from serving.store.exports import Export, exports_of
from serving.store.tenancy import NETWORK, Scope
from serving.store.uses import Consent

if TYPE_CHECKING:  # the database has one home, the store
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class ConsentView:
    """What was said last of a study, None if nothing was, and the exports that held it."""

    study_key: str
    statement: Statement | None
    exports: tuple[Export, ...]


@dataclass(frozen=True)
class Consents:
    """The consents of the stored studies; a change stands in the audit trail, with what it was before."""

    database: Database
    trail: AuditTrail

    def find(self, key: str, *, scope: Scope, site: str | None, who: Who) -> ConsentView:
        """Give what a study may be used for, and note that it was shown.

        Raises
        ------
        ServiceError
            `NOT_FOUND` if there is none of that key in the scope.
        """
        try:
            with self.database.reading() as connection:
                study_id, uid, study_site = _held(connection, key, scope=scope, is_read_only=True)
                view = _view(connection, key, scope, study_id)
        except ServiceError as error:
            self._note(Action.VIEWED_STUDY, site, who, Result.REFUSED, details={"reason": error.problem})
            raise
        details = {
            "shown": "consent",
            "consent": None if view.statement is None else view.statement.consent,
            "exports": [export.key for export in view.exports],
        }
        self._note(Action.VIEWED_STUDY, study_site, who, study_uid=uid, details=details)
        return view

    def look(self, key: str, *, scope: Scope) -> ConsentView:
        """Give the same as a part of something that is noted as a whole.

        Raises
        ------
        ServiceError
            `NOT_FOUND` if there is none of that key in the scope.
        """
        with self.database.reading() as connection:
            study_id, _, _ = _held(connection, key, scope=scope, is_read_only=True)
            return _view(connection, key, scope, study_id)

    def change(self, key: str, consent: Consent, *, scope: Scope, site: str | None, who: Who) -> ConsentView:
        """Say what a study may be used for from now on; to say it again changes nothing.

        What it was exported for before does not come back: the answer names those exports, so that who
        received them can be told.

        Raises
        ------
        ServiceError
            `NOT_FOUND` if there is none of that key in the scope.
        """
        try:
            return self._change(key, consent, scope=scope, who=who)
        except ServiceError as error:
            details = {"reason": error.problem, "consent": consent}
            self._note(Action.CONSENT_CHANGED, site, who, Result.REFUSED, details=details)
            raise

    def _note(
        self,
        action: Action,
        site: str | None,
        who: Who,
        result: Result = Result.DONE,
        *,
        study_uid: str | None = None,
        details: Mapping[str, object],
    ) -> None:
        moment = self.trail.clock()
        self.trail.note(AuditEvent(action, who, site or NETWORK, moment, result, study_uid, details=details))

    def _change(self, key: str, consent: Consent, *, scope: Scope, who: Who) -> ConsentView:
        with self.trail.acting() as act:
            study_id, uid, site = _held(act.connection, key, scope=scope)
            known = consent_of(act.connection, scope=scope, study_id=study_id)
            if known is not None and known.consent is consent:
                return _view(act.connection, key, scope, study_id)
            moment = self.trail.clock()
            say(act.connection, Statement(consent, who.name, moment), site=site, study_id=study_id)
            view = _view(act.connection, key, scope, study_id)
            details = {
                "consent": consent,
                "before": None if known is None else known.consent,
                "exports": [export.key for export in view.exports],
            }
            act.record(AuditEvent(Action.CONSENT_CHANGED, who, site, moment, study_uid=uid, details=details))
            return view


def _held(
    connection: "Connection", key: str, *, scope: Scope, is_read_only: bool = False
) -> tuple[int, str, str]:
    held = hold_study(connection, scope=scope, key=key, is_read_only=is_read_only)
    if held is None:
        raise ServiceError(Problem.NOT_FOUND, f"There is no study {key!r}.")
    return held


def _view(connection: "Connection", key: str, scope: Scope, study_id: int) -> ConsentView:
    exports = exports_of(connection, scope=scope, study_id=study_id)
    return ConsentView(key, consent_of(connection, scope=scope, study_id=study_id), tuple(exports))
