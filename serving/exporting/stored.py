"""Exports stored studies without their patients: what the consent allows, file by file, all accounted for.

What is about to leave is written down, with its consent looked at, before the first file is written; when the
last one is, the report's hash is. So an export that was cut off is known too.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from data.dicom.deidentify import TextPolicy
from data.dicom.pseudonyms import Pseudonyms
from data.errors import ImageError, Reason
from serving.audit.trail import AuditTrail
from serving.consents.policy import may_leave
from serving.errors import ServiceError
from serving.exporting.service import Exported, export_file
from serving.store.audit_chain import Action, AuditEvent, Result, Who
from serving.store.exports import Candidate, Selection, begin, candidates, end
from serving.store.objects import ObjectStore
from serving.store.studies import StoredInstance, StoredStudy, find_study
from serving.store.tenancy import NETWORK, Scope
from serving.store.uses import Consent, Purpose

if TYPE_CHECKING:  # the database has one home, the store
    from sqlalchemy import Connection

NO_CONSENT = "no-consent"
UNKNOWN_STUDY = "unknown-study"


@dataclass(frozen=True, slots=True)
class Leaving:
    """A study whose consent allows that it leaves, and who its patient is: issuer and identifier."""

    stored: StoredStudy
    consent: str
    patient: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Kept:
    """A study that was meant and does not leave: its key, or what was named, and why."""

    study: str
    reason: str
    consent: str | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """An export that is written down: its key, what leaves, what is kept."""

    key: str
    leaving: tuple[Leaving, ...]
    kept: tuple[Kept, ...]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What became of one image of a study; `position` is its place among the study's images."""

    study: Leaving
    instance: StoredInstance
    position: int
    result: Exported


@dataclass(frozen=True)
class StoredExports:
    """Exports from one store, each for one purpose, under one project's key."""

    trail: AuditTrail
    objects: ObjectStore
    pseudonyms: Pseudonyms
    purpose: Purpose
    who: Who
    n_written: dict[int, int] = field(default_factory=dict)

    def begin(self, selection: Selection, *, scope: Scope) -> Begun:
        """Look which of the studies that are meant may leave, and write that down."""
        with self.trail.acting() as act:
            meant = candidates(act.connection, scope=scope, selection=selection)
            allowed = [one for one in meant if may_leave(_consent(one), self.purpose)]
            now_us = self.trail.clock()
            key = begin(
                act.connection,
                allowed,
                purpose=self.purpose,
                by=self.who.name,
                key_fingerprint=self.pseudonyms.fingerprint,
                now_us=now_us,
            )
            begun = Begun(key, _leaving(act.connection, allowed), _kept(selection, meant, allowed))
            shared = {"export": key, "purpose": self.purpose, "key": self.pseudonyms.fingerprint}
            is_allowed = {one.id for one in allowed}
            act.record(
                *(self._event(one, shared, is_allowed=one.id in is_allowed, at_us=now_us) for one in meant)
            )
        return begun

    def write(self, begun: Begun, folder: Path, *, text: TextPolicy) -> Iterator[StoredFile]:
        """Write the copies of every study that leaves; a refused file leaves nothing."""
        for study in begun.leaving:
            self.n_written[study.stored.id] = 0
            for position, instance in enumerate(study.stored.instances):
                result = self._export(instance, folder, text)
                self.n_written[study.stored.id] += result.error is None
                yield StoredFile(study, instance, position, result)

    def end(self, begun: Begun, *, report_sha256: str) -> None:
        """Write down what each study gave, and the hash of the report."""
        with self.trail.acting() as act:
            now_us = self.trail.clock()
            end(act.connection, begun.key, n_files=self.n_written, report_sha256=report_sha256, now_us=now_us)
            details = {
                "export": begun.key,
                "purpose": self.purpose,
                "key": self.pseudonyms.fingerprint,
                "studies": len(begun.leaving),
                "studies_kept": len(begun.kept),
                "files": sum(self.n_written.values()),
                "report_sha256": report_sha256,
            }
            act.record(AuditEvent(Action.EXPORTED, self.who, NETWORK, now_us, details=details))

    def _export(self, instance: StoredInstance, folder: Path, text: TextPolicy) -> Exported:
        source = Path(instance.file_name)
        try:
            done = export_file(self.objects.checked(instance.sha256), folder, self.pseudonyms, text)
        except ImageError as error:
            told = ImageError(source, error.reason, error.problem, error.remedy)
            return Exported(source, error=told)
        except ServiceError as error:
            damaged = ImageError(source, Reason.CORRUPT, "is damaged in the store", error.detail)
            return Exported(source, error=damaged)
        return Exported(source, done.path, n_masked=done.n_masked, was_there=done.was_there)

    def _event(
        self, one: Candidate, shared: Mapping[str, object], *, is_allowed: bool, at_us: int
    ) -> AuditEvent:
        reason = {} if is_allowed else {"reason": NO_CONSENT}
        return AuditEvent(
            Action.EXPORTED,
            self.who,
            one.site,
            at_us,
            Result.DONE if is_allowed else Result.REFUSED,
            one.uid,
            details={**shared, "consent": _consent(one), **reason},
        )


def _consent(one: Candidate) -> Consent | None:
    return None if one.consent is None else one.consent.consent


def _leaving(connection: "Connection", allowed: Sequence[Candidate]) -> tuple[Leaving, ...]:
    found: list[Leaving] = []
    for one in allowed:
        stored = find_study(connection, scope=Scope.of(one.site), key=one.key)
        assert stored is not None  # held since it was found
        found.append(Leaving(stored, str(_consent(one) or "unknown"), one.patient))
    return tuple(found)


def _kept(selection: Selection, meant: Sequence[Candidate], allowed: Sequence[Candidate]) -> tuple[Kept, ...]:
    known = {name for one in meant for name in (one.key, one.uid)}
    leaves = {one.id for one in allowed}
    missing = [Kept(name, UNKNOWN_STUDY) for name in selection.named if name not in known]
    refused = [
        Kept(one.key, NO_CONSENT, str(_consent(one) or "unknown")) for one in meant if one.id not in leaves
    ]
    return (*missing, *refused)
