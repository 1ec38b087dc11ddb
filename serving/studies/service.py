"""Finds a study with its result, and a frame of it."""

import string
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.quality.finding import Finding
from serving.audit.trail import AuditTrail
from serving.errors import Problem, ServiceError
from serving.store.arrivals import Wait, wait_of
from serving.store.audit_chain import Action, AuditEvent, Result, Who
from serving.store.consent import Statement, consent_of
from serving.store.database import Database
from serving.store.expected import expected_total
from serving.store.late_images import LateImages, late_images
from serving.store.orders import StudyOrder, orders_of
from serving.store.priors import Prior, priors_of
from serving.store.quality import findings_of
from serving.store.scores import StoredScore, newest_score
from serving.store.studies import StoredInstance, StoredStudy, find_instance, find_study, find_uid
from serving.store.tenancy import NETWORK, Scope
from serving.studies.rendering import Format, Picture, Renderer
from serving.studies.shown import shown_study

if TYPE_CHECKING:  # the database has one home, the store
    from sqlalchemy import Connection

# Of a patient who comes every week the studies of two years.
_MOST_PRIORS = 100

# A key that is none of ours may be anything that somebody typed, a patient's name too.
_KEY_DIGITS = 32


@dataclass(frozen=True, slots=True)
class StudyView:
    """A study, its last score, its consent, what is amiss with its images, what is under its accession.

    `wait` says until when more images are waited for, None if it is complete; `late` which came after it had
    been; `expected` how many it should have, where that is known; `priors` are the patient's other studies.
    """

    study: StoredStudy
    score: StoredScore | None
    consent: Statement | None = None
    findings: tuple[Finding, ...] = ()
    orders: tuple[StudyOrder, ...] = ()
    wait: Wait | None = None
    expected: int | None = None
    late: LateImages | None = None
    priors: tuple[Prior, ...] = ()


@dataclass(frozen=True)
class Studies:
    """The stored studies, seen one at a time; who sees what stands in the trail before it is shown."""

    database: Database
    renderer: Renderer
    trail: AuditTrail

    def find(self, key: str, *, scope: Scope, site: str | None, who: Who) -> StudyView:
        """Give a study; `site` is that of the one who asks, where they belong to one.

        Raises
        ------
        ServiceError
            `NOT_FOUND` if there is none of that key in the scope.
        """
        with self.database.reading() as connection:
            study = find_study(connection, scope=scope, key=key)
            view = None if study is None else _view(connection, study, scope=scope, who=who)
        if view is None:
            self._note_refusal(Action.VIEWED_STUDY, key, site=site, who=who)
            raise ServiceError(Problem.NOT_FOUND, f"There is no study {key!r}.")
        shown = shown_study(
            view.study,
            view.score,
            view.orders,
            n_priors=len(view.priors),
            who=who,
            at_us=self.trail.clock(),
        )
        self.trail.note(shown)
        return view

    def find_instance(
        self,
        key: str,
        sop_instance_uid: str,
        frame_number: int,
        *,
        scope: Scope,
        site: str | None,
        who: Who,
        width_px: int | None,
    ) -> StoredInstance:
        """Give one image of a study, a frame of which is about to be shown.

        Raises
        ------
        ServiceError
            `NOT_FOUND` if there is no such study or image in the scope.
        """
        with self.database.reading() as connection:
            instance = find_instance(connection, scope=scope, key=key, sop_instance_uid=sop_instance_uid)
            found = find_uid(connection, scope=scope, key=key)
        study_uid, study_site = (None, site) if found is None else found
        if instance is None:
            self._note_refusal(Action.VIEWED_IMAGE, key, site=study_site, who=who, study_uid=study_uid)
            raise ServiceError(Problem.NOT_FOUND, f"The study {key!r} has no image {sop_instance_uid!r}.")
        details = {
            "image": instance.sop_instance_uid,
            "sha256": instance.sha256,
            "frame": frame_number,
            "width_px": width_px,
        }
        self.trail.note(
            AuditEvent(
                Action.VIEWED_IMAGE,
                who,
                study_site or NETWORK,
                self.trail.clock(),
                study_uid=study_uid,
                details=details,
            )
        )
        return instance

    def _note_refusal(
        self, action: Action, key: str, *, site: str | None, who: Who, study_uid: str | None = None
    ) -> None:
        # a study of another site gives the same answer as none, and who tries one after another shows here
        named = key if len(key) == _KEY_DIGITS and set(key) <= set(string.hexdigits) else None
        event = AuditEvent(
            action,
            who,
            site or NETWORK,
            self.trail.clock(),
            result=Result.REFUSED,
            study_uid=study_uid,
            details={"reason": Problem.NOT_FOUND, "key": named},
        )
        self.trail.note(event)

    def render(
        self, instance: StoredInstance, frame_number: int, *, width_px: int | None, coding: Format
    ) -> Picture:
        """Give a frame as a browser shows it; see :meth:`serving.studies.rendering.Renderer.render`."""
        return self.renderer.render(instance, frame_number, width_px=width_px, format=coding)


def _view(connection: "Connection", study: StoredStudy, *, scope: Scope, who: Who) -> StudyView:
    return StudyView(
        study,
        newest_score(connection, scope=scope, study_id=study.id),
        consent_of(connection, scope=scope, study_id=study.id),
        findings_of(connection, scope=scope, study_id=study.id),
        tuple(orders_of(connection, scope=scope, study_id=study.id)),
        wait=wait_of(connection, study.id),
        expected=expected_total(connection, site=study.site, study_uid=study.uid),
        late=late_images(connection, scope=scope, study_id=study.id, reader=who.name),
        priors=tuple(priors_of(connection, scope=scope, study_id=study.id, limit=_MOST_PRIORS)),
    )
