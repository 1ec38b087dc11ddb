"""Says whose a client's certificate is, by its subject or its fingerprint: a person's or a token's."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from serving.audit.trail import AuditTrail
from serving.errors import Problem, ServiceError
from serving.identity.caller import EVERY_SITE
from serving.identity.certificates import plain_fingerprint, plain_subject, read_certificate
from serving.identity.login_names import login_name
from serving.store.api_tokens import find_token
from serving.store.audit_chain import Action, AuditEvent, Who
from serving.store.client_certificates import (
    OwnedCertificate,
    add_certificate,
    find_certificate,
    read_certificates,
    remove_certificate,
)
from serving.store.database import Database
from serving.store.people import find_person
from serving.store.sites import LOCAL_SITE


class Kind(StrEnum):
    """What a certificate is known by."""

    SUBJECT = "subject"
    FINGERPRINT = "fingerprint"


@dataclass(frozen=True, slots=True)
class Named:
    """A certificate as it is known."""

    kind: Kind
    value: str

    @classmethod
    def of(cls, *, subject: str | None, fingerprint: str | None, file: Path | None) -> "Named":
        """Read what an operator gives: one of the three; of a file the fingerprint counts.

        Raises
        ------
        ServiceError
            `INVALID_REQUEST` if it is none or several, or not readable.
        """
        try:
            if subject is not None and (fingerprint, file) == (None, None):
                return cls(Kind.SUBJECT, plain_subject(subject))
            if fingerprint is not None and (subject, file) == (None, None):
                return cls(Kind.FINGERPRINT, plain_fingerprint(fingerprint))
            if file is not None and (subject, fingerprint) == (None, None):
                shown = read_certificate(file.read_text(encoding="ascii"))
                assert shown.fingerprint is not None
                return cls(Kind.FINGERPRINT, shown.fingerprint)
        except (OSError, ValueError) as error:
            raise ServiceError(Problem.INVALID_REQUEST, f"That is no certificate: {error}") from error
        raise ServiceError(
            Problem.INVALID_REQUEST, "Name the certificate by one: subject, fingerprint or file."
        )


@dataclass(frozen=True)
class Certificates:
    """Administers certificates."""

    database: Database
    trail: AuditTrail

    def all(self) -> list[OwnedCertificate]:
        """Give every certificate, in the order in which they were entered."""
        with self.database.reading() as connection:
            return read_certificates(connection)

    def enter(self, named: Named, *, user: str | None, token: str | None, who: Who) -> OwnedCertificate:
        """Say whose a certificate is: the person of a login name, or the token of an id.

        Raises
        ------
        ServiceError
            `INVALID_REQUEST` unless it is one of the two, `NOT_FOUND`, `CONFLICT` if it is somebody's.
        """
        if (user is None) == (token is None):
            raise ServiceError(Problem.INVALID_REQUEST, "A certificate is a person's or a token's: name one.")
        name = None if user is None else login_name(user)
        with self.trail.acting() as act:
            if name is not None and find_person(act.connection, login_name=name) is None:
                raise ServiceError(Problem.NOT_FOUND, f"There is nobody {user!r}.")
            if token is not None and find_token(act.connection, token, scope=EVERY_SITE) is None:
                raise ServiceError(Problem.NOT_FOUND, f"There is no token {token!r}.")
            if find_certificate(act.connection, [(named.kind, named.value)]) is not None:
                raise ServiceError(Problem.CONFLICT, f"The certificate {named.value} is somebody's already.")
            key = add_certificate(
                act.connection,
                kind=named.kind,
                value=named.value,
                login_name=name,
                token_key=token,
                created_by=who.name,
                now_us=self.trail.clock(),
            )
            entered = OwnedCertificate(key, named.kind, named.value, name, token)
            act.record(self._event(entered, who, before=None, after=_described(entered)))
        return entered

    def remove(self, key: str, *, who: Who) -> OwnedCertificate:
        """Let a certificate be nobody's from now on.

        Raises
        ------
        ServiceError
            `NOT_FOUND`.
        """
        with self.trail.acting() as act:
            found = next((one for one in read_certificates(act.connection) if one.key == key), None)
            if found is None:
                raise ServiceError(Problem.NOT_FOUND, f"There is no certificate {key!r}.")
            remove_certificate(act.connection, key)
            act.record(self._event(found, who, before=_described(found), after=None))
        return found

    def _event(
        self,
        certificate: OwnedCertificate,
        who: Who,
        *,
        before: dict[str, object] | None,
        after: dict[str, object] | None,
    ) -> AuditEvent:
        details = {"certificate": certificate.key, "before": before, "after": after}
        return AuditEvent(Action.PERMISSION_CHANGED, who, LOCAL_SITE, self.trail.clock(), details=details)


def _described(certificate: OwnedCertificate) -> dict[str, object]:
    return {
        certificate.kind: certificate.value,
        "person": certificate.login_name,
        "token": certificate.token_key,
    }
